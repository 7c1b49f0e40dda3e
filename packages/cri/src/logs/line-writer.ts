/**
 * Output of a process as lines of a CRI log: `<time> <stream> <P|F> <bytes>\n`.
 *
 * @module
 */

/** Which output a line is of. */
export type OutputName = "stdout" | "stderr";

/** Memory that is filled with lines. */
export interface LineBlock {
  readonly bytes: Buffer;
  /** How much of it is filled; whoever fills it counts. */
  used: number;
}

/** Where whole lines go. */
export interface LineSink {
  /** A block with room for `bytes` more. */
  room(bytes: number): LineBlock;
}

const newline = 0x0a;
const carriageReturn = 0x0d;
const empty = Buffer.alloc(0);
/** Up to this length, bytes are copied faster one by one than by a call. */
const shortLine = 64;

/** Lines are never kept longer than this, even when they may have any length. */
export const longestLine: number = 16 * 1024 * 1024;

/** Cuts one output into lines. What comes without its newline is kept, up to a line's greatest length. */
export class LineWriter {
  readonly #name: OutputName;
  readonly #sink: LineSink;
  readonly #max: number;
  #carry: Buffer = empty;
  #carried = 0;

  /** @param maxLine longest line in bytes; longer ones are written in pieces. Zero and less: any length */
  constructor(name: OutputName, sink: LineSink, maxLine: number) {
    this.#name = name;
    this.#sink = sink;
    this.#max = maxLine > 0 ? Math.min(maxLine, longestLine) : longestLine;
  }

  /**
   * Writes the lines that are complete with `chunk`.
   *
   * @returns how many bytes of lines were written
   */
  write(chunk: Buffer, time: string): number {
    const full = Buffer.from(`${time} ${this.#name} F `, "latin1");
    let written = 0;
    let at = 0;
    for (;;) {
      const end = findNewline(chunk, at);
      if (end === -1) break;
      if (this.#carried === 0 && end - at <= this.#max) {
        const last = end > at && chunk[end - 1] === carriageReturn ? end - 1 : end;
        written += this.#put(full, chunk, at, last);
      } else written += this.#completeLong(chunk.subarray(at, end), time, full);
      at = end + 1;
    }
    return at === chunk.length ? written : written + this.#keep(chunk.subarray(at), time);
  }

  /**
   * Writes what came without a newline.
   *
   * @returns how many bytes of lines were written
   */
  end(time: string): number {
    if (this.#carried === 0) return 0;
    let written = this.#cutPieces(time, this.#carried);
    written += this.#put(this.#partial(time), this.#carry, 0, this.#carried);
    this.#carried = 0;
    this.#carry = empty;
    return written;
  }

  /** The end of a line that began earlier or is longer than allowed. */
  #completeLong(rest: Buffer, time: string, full: Buffer): number {
    this.#append(rest);
    const hasReturn = this.#carried > 0 && this.#carry[this.#carried - 1] === carriageReturn;
    let written = this.#cutPieces(time, hasReturn ? this.#carried - 1 : this.#carried);
    written += this.#put(full, this.#carry, 0, hasReturn ? this.#carried - 1 : this.#carried);
    this.#carried = 0;
    // A long line is the exception: its memory is not kept.
    if (this.#carry.length > 64 * 1024) this.#carry = empty;
    return written;
  }

  /** The beginning of a line whose newline has not come. */
  #keep(rest: Buffer, time: string): number {
    this.#append(rest);
    // A return at the end may be one that is dropped with its newline.
    const hasReturn = this.#carry[this.#carried - 1] === carriageReturn;
    return this.#cutPieces(time, hasReturn ? this.#carried - 1 : this.#carried);
  }

  /** Writes pieces of the greatest length while `length` bytes of what is kept exceed it. */
  #cutPieces(time: string, length: number): number {
    if (length <= this.#max) return 0;
    const header = this.#partial(time);
    let at = 0;
    let written = 0;
    for (; length - at > this.#max; at += this.#max) written += this.#put(header, this.#carry, at, at + this.#max);
    this.#carry.copy(this.#carry, 0, at, this.#carried);
    this.#carried -= at;
    return written;
  }

  #append(bytes: Buffer): void {
    const needed = this.#carried + bytes.length;
    if (needed > this.#carry.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#carry.length * 2, 1_024));
      this.#carry.copy(larger, 0, 0, this.#carried);
      this.#carry = larger;
    }
    bytes.copy(this.#carry, this.#carried);
    this.#carried = needed;
  }

  #partial(time: string): Buffer {
    return Buffer.from(`${time} ${this.#name} P `, "latin1");
  }

  #put(header: Buffer, source: Buffer, start: number, end: number): number {
    const size = header.length + end - start + 1;
    const block = this.#sink.room(size);
    const { bytes } = block;
    let to = block.used;
    for (let from = 0; from < header.length; from++) bytes[to++] = header[from] as number;
    if (end - start > shortLine) to += source.copy(bytes, to, start, end);
    else for (let from = start; from < end; from++) bytes[to++] = source[from] as number;
    bytes[to] = newline;
    block.used += size;
    return size;
  }
}

/** Where the line that begins at `start` ends, or -1. */
function findNewline(chunk: Buffer, start: number): number {
  const near = Math.min(chunk.length, start + shortLine);
  for (let at = start; at < near; at++) if (chunk[at] === newline) return at;
  return near === chunk.length ? -1 : chunk.indexOf(newline, near);
}
