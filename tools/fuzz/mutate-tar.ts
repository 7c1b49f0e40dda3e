/**
 * Mutations of tar archives: fields of headers with a good checksum, entries in another order, extended headers.
 *
 * @module
 */
import { mixed } from "./mutate.ts";
import type { Mutate } from "./mutate.ts";
import type { Random } from "./random.ts";

const blockSize = 512;

const names = [
  "",
  "/",
  ".",
  "..",
  "./",
  "a",
  "a/b",
  "a/../../x",
  "../outside",
  "/etc/passwd",
  "dir",
  "dir/file",
  "link",
  "link/file",
  "link/..",
  "hard",
  ".wh.a",
  ".wh..wh..opq",
  "dir/.wh..wh..opq",
  ".wh.",
  ".wh...",
  ".wh.dir",
  "a".repeat(100),
  "a/".repeat(50),
  "\xff\xfe",
  "a\nb",
];
const sizes = ["0", "1", "777", "1000", "7777777", "77777777777", "-1", " 12", "9", ""];
const types = "01234567SxgLKAVN\0Z";

const textFields: readonly (readonly [at: number, length: number])[] = [
  [0, 100],
  [157, 100],
  [345, 155],
];
const numberFields: readonly (readonly [at: number, length: number])[] = [
  [100, 8],
  [108, 8],
  [116, 8],
  [124, 12],
  [136, 12],
  [329, 8],
  [337, 8],
  [386, 12],
  [398, 12],
  [483, 12],
];

/** Where headers are: what looks like one. */
function headersIn(bytes: Buffer): number[] {
  const found: number[] = [];
  for (let at = 0; at + blockSize <= bytes.length; at += blockSize) {
    if (bytes.toString("latin1", at + 257, at + 262) === "ustar") found.push(at);
  }
  return found;
}

function sign(block: Buffer): void {
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}

function putText(block: Buffer, [at, length]: readonly [number, number], text: string): void {
  block.fill(0, at, at + length);
  block.write(text.slice(0, length), at, "latin1");
}

function mutateHeader(random: Random, block: Buffer): void {
  switch (random.below(5)) {
    case 0:
      putText(block, random.pick(textFields), random.pick(names));
      break;
    case 1:
      putText(block, random.pick(numberFields), random.pick(sizes));
      break;
    case 2: {
      // Base 256, also negative and too large.
      const [at, length] = random.pick(numberFields);
      random.bytes(length).copy(block, at);
      block[at] = random.pick([0x80, 0xff, 0x81, 0xc0]);
      if (random.oneIn(2)) block.fill(0, at + 1, at + length - 2);
      break;
    }
    case 3:
      block.write(random.pick([...types]), 156, "latin1");
      break;
    default:
      block.write(random.pick(["ustar\x0000", "ustar  \0", "ustar\0  ", "\0\0\0\0\0\0\0\0"]), 257, "latin1");
  }
  if (!random.oneIn(10)) sign(block);
}

/** A header with data of its own. */
function makeEntry(random: Random): Buffer {
  const block = Buffer.alloc(blockSize);
  block.write("ustar\x0000", 257, "latin1");
  putText(block, [0, 100], random.pick(names));
  putText(block, [157, 100], random.pick(names));
  putText(block, [100, 8], random.pick(["0000644", "0000755", "0004755", "0000000"]));
  const type = random.pick([...types]);
  block.write(type, 156, "latin1");
  const data = "xg".includes(type)
    ? paxRecords(random)
    : Buffer.from(random.pick(names).repeat(random.below(20)), "latin1");
  const sized = "0x7gLKS\0".includes(type) ? data : Buffer.alloc(0);
  putText(block, [124, 12], sized.length.toString(8).padStart(11, "0"));
  sign(block);
  return Buffer.concat([block, sized, Buffer.alloc((blockSize - (sized.length % blockSize)) % blockSize)]);
}

const paxKeys = [
  "path",
  "linkpath",
  "size",
  "uid",
  "gid",
  "mtime",
  "atime",
  "SCHILY.xattr.user.x",
  "SCHILY.xattr.trusted.overlay.opaque",
  "SCHILY.xattr.",
  "GNU.sparse.major",
  "GNU.sparse.minor",
  "GNU.sparse.name",
  "GNU.sparse.realsize",
  "GNU.sparse.map",
  "GNU.sparse.numbytes",
  "GNU.sparse.offset",
  "GNU.sparse.size",
  "GNU.sparse.numblocks",
  "__proto__",
];
const paxValues = [
  "",
  "0",
  "1",
  "-1",
  "0,1,2,3",
  "1.5",
  "-0.5",
  "99999999999999999999",
  "a",
  "../x",
  "/",
  "1\n0\n5\n",
  "1e3",
];

function paxRecords(random: Random): Buffer {
  const records: string[] = [];
  for (let left = 1 + random.below(6); left > 0; left--) {
    const rest = ` ${random.pick(paxKeys)}=${random.pick(paxValues)}\n`;
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length++;
    records.push(`${random.oneIn(20) ? random.below(1000) : length}${rest}`);
  }
  return Buffer.from(records.join(""));
}

/** Mutates an archive that is not compressed. */
export const mutateTar: Mutate = mixed((random, input, corpus) => {
  let bytes: Buffer = Buffer.from(input);
  for (let left = 1 + random.below(4); left > 0; left--) {
    const headers = headersIn(bytes);
    const at = headers.length === 0 ? 0 : random.pick(headers);
    switch (random.below(6)) {
      case 0:
        bytes = Buffer.concat([bytes.subarray(0, at), makeEntry(random), bytes.subarray(at)]);
        break;
      case 1: {
        const other = random.pick(corpus);
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          other.subarray(blockSize * random.below(other.length / blockSize)),
        ]);
        break;
      }
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + blockSize)]);
        break;
      default:
        if (headers.length > 0) mutateHeader(random, bytes.subarray(at, at + blockSize));
    }
  }
  return bytes.subarray(0, 256 << 10);
});
