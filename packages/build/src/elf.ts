/**
 * Adding a note to a Linux executable, where Node's single executable applications keep what they run.
 *
 * The note goes behind the end of the file in a segment of its own. A segment needs an entry in the table of program
 * headers, which has no room for more; a longer copy of the table goes into the new segment too.
 *
 * @module
 */
import { failedPrecondition } from "@ctrd/core/errors";

const programHeaderSize = 56;
const segmentType = { load: 1, note: 4, programHeaders: 6 } as const;
const readable = 4;

/** Largest page that a Linux of x86-64 or arm64 has: segments begin at multiples of it. */
const pageSize = 0x1_0000;

/** `e_machine` of the architectures that Node calls by these names. */
const machines: Readonly<Record<string, number>> = { x64: 62, arm64: 183, riscv64: 243 };

interface ProgramHeader {
  type: number;
  flags: number;
  offset: bigint;
  address: bigint;
  fileSize: bigint;
  memorySize: bigint;
  alignment: bigint;
}

/** A piece of a file: bytes, and where they go. */
export interface Patch {
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** Whether a file begins as a 64-bit little-endian ELF file for the architecture. */
export function isElf(file: Uint8Array, arch: string): boolean {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f45_4c46) return false;
  return bytes[4] === 2 && bytes[5] === 1 && bytes.readUInt16LE(18) === machines[arch];
}

/**
 * What to write into an executable so that it has a note: nothing of it moves.
 *
 * @throws ContainerdError `failed-precondition` when its headers are not those of an executable
 */
export function patchesForNote(executable: Buffer, name: string, content: Uint8Array): Patch[] {
  const headers = readProgramHeaders(executable);
  const loads = headers.filter(({ type }) => type === segmentType.load);
  const [first] = loads;
  const table = headers.find(({ type }) => type === segmentType.programHeaders);
  if (first === undefined || table === undefined) throw failedPrecondition("the executable has no program headers");
  // Kernels before 5.18 take the table's address to be that of the first segment plus the table's offset.
  const base = first.address - first.offset;
  const end = loads.reduce((max, load) => maxOf(max, load.address + load.memorySize - base), BigInt(executable.length));
  const offset = roundUp(end, BigInt(pageSize));
  const tableSize = (headers.length + 2) * programHeaderSize;
  const note = encodeNote(name, content);
  const segment = { flags: readable, offset, address: base + offset };
  Object.assign(table, segment, { fileSize: BigInt(tableSize), memorySize: BigInt(tableSize) });
  const size = BigInt(tableSize + note.length);
  // Loaded segments must be in the order of their addresses, and this one is the last.
  headers.splice(headers.lastIndexOf(loads.at(-1) ?? first) + 1, 0, {
    ...{ type: segmentType.load, ...segment, fileSize: size, memorySize: size, alignment: BigInt(pageSize) },
  });
  const noteOffset = BigInt(tableSize);
  headers.push({
    ...{ type: segmentType.note, flags: readable, offset: offset + noteOffset, address: base + offset + noteOffset },
    ...{ fileSize: BigInt(note.length), memorySize: BigInt(note.length), alignment: 4n },
  });
  return [
    { position: 0, bytes: elfHeader(executable, offset, headers.length) },
    { position: Number(offset), bytes: Buffer.concat([...headers.map(encodeProgramHeader), note]) },
  ];
}

function readProgramHeaders(file: Buffer): ProgramHeader[] {
  const [start, size, count] = [Number(file.readBigUInt64LE(32)), file.readUInt16LE(54), file.readUInt16LE(56)];
  if (size !== programHeaderSize) throw failedPrecondition(`the executable has program headers of ${size} bytes`);
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * size;
    return {
      type: file.readUInt32LE(at),
      flags: file.readUInt32LE(at + 4),
      offset: file.readBigUInt64LE(at + 8),
      address: file.readBigUInt64LE(at + 16),
      fileSize: file.readBigUInt64LE(at + 32),
      memorySize: file.readBigUInt64LE(at + 40),
      alignment: file.readBigUInt64LE(at + 48),
    };
  });
}

function encodeProgramHeader(header: ProgramHeader): Buffer {
  const bytes = Buffer.alloc(programHeaderSize);
  bytes.writeUInt32LE(header.type, 0);
  bytes.writeUInt32LE(header.flags, 4);
  bytes.writeBigUInt64LE(header.offset, 8);
  bytes.writeBigUInt64LE(header.address, 16);
  bytes.writeBigUInt64LE(header.address, 24); // the physical address, which Linux ignores
  bytes.writeBigUInt64LE(header.fileSize, 32);
  bytes.writeBigUInt64LE(header.memorySize, 40);
  bytes.writeBigUInt64LE(header.alignment, 48);
  return bytes;
}

/** The file's first bytes, with a table of program headers elsewhere. */
function elfHeader(file: Buffer, tableOffset: bigint, tableLength: number): Buffer {
  const header = Buffer.from(file.subarray(0, 64));
  header.writeBigUInt64LE(tableOffset, 32);
  header.writeUInt16LE(tableLength, 56);
  return header;
}

/** An ELF note: sizes and type, the name with its NUL, the content; each padded to 4 bytes. */
function encodeNote(name: string, content: Uint8Array): Buffer {
  const nameSize = Buffer.byteLength(name) + 1;
  const paddedName = Math.ceil(nameSize / 4) * 4;
  const note = Buffer.alloc(12 + paddedName + Math.ceil(content.length / 4) * 4);
  note.writeUInt32LE(nameSize, 0);
  note.writeUInt32LE(content.length, 4);
  note.write(name, 12);
  note.set(content, 12 + paddedName);
  return note;
}

function roundUp(value: bigint, step: bigint): bigint {
  return ((value + step - 1n) / step) * step;
}

function maxOf(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
