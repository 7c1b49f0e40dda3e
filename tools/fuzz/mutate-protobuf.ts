/**
 * Messages of protobuf: random ones on the wire, without knowing a schema.
 *
 * @module
 */
import { mutateBytes } from "./mutate.ts";
import type { Mutate } from "./mutate.ts";
import type { Random } from "./random.ts";

/** No absolute paths and no URLs: a daemon may do what it is asked. */
const texts = [
  "",
  "a",
  "default",
  "no-such-thing",
  "sha256:" + "0".repeat(64),
  "id==x",
  "labels.a~=(((",
  "labels.__proto__",
  "__proto__",
  "1s",
  "overlayfs",
  "native",
  "linux/amd64",
  "\0",
  "\xff",
  "../..",
  "x".repeat(5_000),
];

/** A varint, now and then one that is too long. */
export function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

const values = [0n, 1n, 2n, 127n, 128n, 65535n, 2n ** 31n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

/** A message of a few fields, nested at most `depth` deep. */
export function randomMessage(random: Random, depth = 4): Buffer {
  const parts: Buffer[] = [];
  for (let left = random.below(7); left > 0; left--) {
    const field = random.oneIn(20) ? random.below(1 << 20) : 1 + random.below(12);
    const type = random.pick([0, 0, 2, 2, 2, 2, 1, 5, random.below(8)]);
    parts.push(varint(BigInt(field * 8 + type)));
    if (type === 0) parts.push(random.oneIn(20) ? Buffer.alloc(12, 0xff) : varint(random.pick(values)));
    else if (type === 1) parts.push(random.bytes(8));
    else if (type === 5) parts.push(random.bytes(4));
    else if (type === 2) {
      const nested = depth > 0 && random.oneIn(2);
      const data = nested ? randomMessage(random, depth - 1) : Buffer.from(random.pick(texts), "latin1");
      const length = random.oneIn(25) ? random.pick(values) : BigInt(data.length);
      parts.push(varint(length), data);
    }
  }
  return Buffer.concat(parts);
}

/** Another message, or a mutation of the bytes. */
export const mutateMessage: Mutate = (random, input, corpus) =>
  random.oneIn(2) ? randomMessage(random) : mutateBytes(random, input, corpus);
