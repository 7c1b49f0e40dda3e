/**
 * Mutations that know nothing of what the bytes mean.
 *
 * @module
 */
import type { Random } from "./random.ts";

/** Makes an input out of one of the corpus. */
export type Mutate = (random: Random, input: Buffer, corpus: readonly Buffer[]) => Buffer;

/** Inputs grow no larger. */
const maxBytes = 256 << 10;

/** What parsers are known to trip over. */
const words = [
  "",
  "\0",
  "\n",
  "\r\n",
  "\u2028",
  "\ufeff",
  "\ud800",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "../../etc",
  "/",
  "//",
  ".",
  "-1",
  "0x10",
  "1e999",
  "NaN",
  "9007199254740993",
  "18446744073709551616",
  "ä€😀",
  "%00",
  "%s%n",
  '"',
  "'",
  "\\",
  ":",
  "@",
  ",",
  "=",
  "[",
  "]",
  "{",
  "}",
  "a".repeat(300),
];

const numbers = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x400000, 0x7fffffff, 0x80000000, 0xffffffff,
];

type Operation = (random: Random, bytes: Buffer, corpus: readonly Buffer[]) => Buffer;

function replace(bytes: Buffer, start: number, end: number, part: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, start), part, bytes.subarray(end)]);
}

/** A range of `bytes`, short as a rule. */
function range(random: Random, bytes: Buffer): [start: number, end: number] {
  const start = random.below(bytes.length + 1);
  const longest = random.oneIn(4) ? bytes.length : 16;
  return [start, Math.min(bytes.length, start + random.below(longest + 1))];
}

const operations: readonly Operation[] = [
  (random, bytes) => {
    if (bytes.length > 0) {
      const at = random.below(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    }
    return bytes;
  },
  (random, bytes) => {
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.next() & 0xff;
    return bytes;
  },
  (random, bytes) => replace(bytes, ...range(random, bytes), Buffer.alloc(0)),
  (random, bytes) => {
    const at = random.below(bytes.length + 1);
    return replace(bytes, at, at, random.bytes(1 + random.below(8)));
  },
  (random, bytes) => {
    const [start, end] = range(random, bytes);
    return replace(bytes, end, end, bytes.subarray(start, end));
  },
  (random, bytes) => {
    const at = random.below(bytes.length + 1);
    return replace(bytes, at, random.oneIn(2) ? at : Math.min(bytes.length, at + 4), Buffer.from(random.pick(words)));
  },
  (random, bytes, corpus) => {
    const other = random.pick(corpus);
    const [start, end] = range(random, other);
    return replace(bytes, ...range(random, bytes), other.subarray(start, end));
  },
  (random, bytes, corpus) => {
    const other = random.pick(corpus);
    return Buffer.concat([
      bytes.subarray(0, random.below(bytes.length + 1)),
      other.subarray(random.below(other.length + 1)),
    ]);
  },
  (random, bytes) => editLength(random, bytes),
  (random, bytes) => bytes.subarray(0, random.below(bytes.length + 1)),
];

/** Puts an odd number where a length may be. */
function editLength(random: Random, bytes: Buffer): Buffer {
  const width = random.pick([1, 2, 3, 4]);
  if (bytes.length < width) return bytes;
  const at = random.below(bytes.length - width + 1);
  const limit = 2 ** (8 * width);
  const given = random.oneIn(3) ? bytes.length - at + random.below(5) - 2 : random.pick(numbers);
  const value = ((given % limit) + limit) % limit;
  if (random.oneIn(2)) bytes.writeUIntBE(value, at, width);
  else bytes.writeUIntLE(value, at, width);
  return bytes;
}

/** One to several mutations. */
export const mutateBytes: Mutate = (random, input, corpus) => {
  let bytes: Buffer = Buffer.from(input);
  for (let left = 1 + random.below(random.oneIn(8) ? 32 : 4); left > 0; left--) {
    bytes = random.pick(operations)(random, bytes, corpus);
    if (bytes.length > maxBytes) bytes = bytes.subarray(0, maxBytes);
  }
  return Buffer.from(bytes);
};

/** Mutates with `special`, and now and then without knowing what the bytes are, or both. */
export function mixed(special: Mutate): Mutate {
  return (random, input, corpus) => {
    switch (random.below(4)) {
      case 0:
        return mutateBytes(random, input, corpus);
      case 1:
        return mutateBytes(random, special(random, input, corpus), corpus);
      default:
        return special(random, input, corpus);
    }
  };
}
