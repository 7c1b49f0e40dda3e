/**
 * A layer of many gzip members, compressed several at a time.
 *
 * @module
 */
import type { Hash } from "node:crypto";
import { createHash } from "node:crypto";
import { gzip, gzipSync } from "node:zlib";
import { promisify } from "node:util";
import type { BlockWriter } from "../convert/output.ts";

/** Below this the way to another thread takes longer than compression. */
const smallMember = 16 << 10;
/** Members that may be on their way. */
const maxUnderWay = 8;

const compress: (data: Buffer, options: { level?: number }) => Promise<Buffer> = promisify<
  Buffer,
  { level?: number },
  Buffer
>(gzip);

/** Takes plain bytes; where members begin is told by who writes. */
export class GzipMembers {
  readonly #output: BlockWriter;
  readonly #options: { level?: number };
  readonly #hash: Hash = createHash("sha256");
  #pieces: Buffer[] = [];
  /** Whole members that wait to be compressed. Zeros of sparse files are one and the same piece: they cost no memory. */
  #sealed: Buffer[][] = [];
  #underWay: (Buffer | Promise<Buffer>)[] = [];
  /** Where each member begins. */
  readonly offsets: number[] = [];
  /** Members sealed so far. */
  count = 0;
  /** Plain bytes so far. */
  plainSize = 0;

  constructor(output: BlockWriter, level: number | undefined) {
    this.#output = output;
    this.#options = level === undefined ? {} : { level };
  }

  /** Adds plain bytes to the current member. They must not change any more. */
  add(data: Buffer): void {
    if (data.length > 0) this.#pieces.push(data);
  }

  /** Ends the current member, if there is anything in it. @returns the number of the next */
  seal(): number {
    if (this.#pieces.length > 0) {
      this.#sealed.push(this.#pieces);
      this.#pieces = [];
      this.count++;
    }
    return this.count;
  }

  /** Compresses what was sealed, and writes what is ready. */
  async drain(): Promise<void> {
    const sealed = this.#sealed;
    this.#sealed = [];
    for (const pieces of sealed) {
      const plain = pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
      this.#hash.update(plain);
      this.plainSize += plain.length;
      this.#underWay.push(this.#compress(plain));
      if (this.#underWay.length >= maxUnderWay) await this.#writeNext();
    }
  }

  /** Writes all that was sealed. @returns bytes of the layer so far */
  async flush(): Promise<number> {
    await this.drain();
    while (this.#underWay.length > 0) await this.#writeNext();
    return this.#output.size;
  }

  /** Digest of all plain bytes. */
  diffId(): string {
    return `sha256:${this.#hash.digest("hex")}`;
  }

  #compress(plain: Buffer): Buffer | Promise<Buffer> {
    if (plain.length < smallMember) return gzipSync(plain, this.#options);
    const compressed = compress(plain, this.#options);
    // It is awaited in its turn.
    compressed.catch(() => {});
    return compressed;
  }

  async #writeNext(): Promise<void> {
    const next = await this.#underWay.shift();
    if (next === undefined) return;
    this.offsets.push(this.#output.size);
    await this.#output.write(next);
  }
}
