/**
 * Frames of a zstd file. Node's decompressor stops after the first, so the file is taken apart here: block headers tell
 * where a frame ends without decompressing it (RFC 8878).
 *
 * @module
 */
import { readSync } from "node:fs";
import { invalidArchive } from "./tar/invalid-archive.ts";

/** Where a frame is in the file, in bytes; `end` is exclusive. */
export interface ZstdFrame {
  start: number;
  end: number;
  /** Holds no data of the stream. */
  skippable: boolean;
}

const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;
/** Bytes of the dictionary id and of the content size by the bits that tell. */
const dictionaryBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;
const checksumBytes = 4;
const rawBlock = 0;
const rleBlock = 1;
const compressedBlock = 2;

/** The frames of the file `fd` of `size` bytes. @throws ContainerdError `invalid-argument` for what is no frame */
export function* zstdFrames(fd: number, size: number): Generator<ZstdFrame> {
  const window = new FileWindow(fd);
  let start = 0;
  while (start < size) {
    const frame = frameAt(window, start);
    if (frame.end > size) throw invalidArchive("zstd: unexpected end of file");
    yield frame;
    start = frame.end;
  }
}

function frameAt(window: FileWindow, start: number): ZstdFrame {
  const magic = window.read(start, 4);
  if ((magic & 0xffff_fff0) >>> 0 === skippableMagic) {
    return { start, end: start + 8 + window.read(start + 4, 4), skippable: true };
  }
  if (magic !== frameMagic) throw invalidArchive("zstd: what follows a frame is not another");
  const descriptor = window.read(start + 4, 1);
  const single = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  let at = start + 5 + (single ? 0 : 1) + (dictionaryBytes[descriptor & 3] ?? 0);
  at += sizeFlag === 0 && single ? 1 : (contentSizeBytes[sizeFlag] ?? 0);
  for (let last = false; !last;) {
    const header = window.read(at, 3);
    const type = (header >> 1) & 3;
    last = (header & 1) !== 0;
    if (type !== rawBlock && type !== rleBlock && type !== compressedBlock)
      throw invalidArchive("zstd: reserved block");
    at += 3 + (type === rleBlock ? 1 : header >> 3);
  }
  return { start, end: at + ((descriptor & 4) === 0 ? 0 : checksumBytes), skippable: false };
}

/** Little-endian numbers anywhere in a file, through a buffer. */
class FileWindow {
  readonly #fd: number;
  readonly #buffer: Buffer = Buffer.alloc(4096);
  #start = 0;
  #length = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  read(position: number, bytes: number): number {
    if (position < this.#start || position + bytes > this.#start + this.#length) {
      this.#start = position;
      this.#length = readSync(this.#fd, this.#buffer, 0, this.#buffer.length, position);
    }
    if (position + bytes > this.#start + this.#length) throw invalidArchive("zstd: unexpected end of file");
    return this.#buffer.readUIntLE(position - this.#start, bytes);
  }
}
