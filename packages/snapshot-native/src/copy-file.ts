import { ftruncateSync, readSync, writeSync } from "node:fs";
import type { Stats } from "node:fs";
import { copyFileRange, hasErrno, reflink, seekData, seekHole, seekSet } from "@ctrd/sys";

/** How the kernel says that it cannot do this kind of copy here. */
const cannot = ["EOPNOTSUPP", "EXDEV", "EINVAL", "ENOSYS", "ENOTTY", "EPERM"] as const;
const largestCopy = 64 << 20;
const bufferSize = 1 << 20;

/**
 * Copies the data of regular files the cheapest way that works: shared blocks, else inside the kernel, else through a
 * buffer. Holes stay holes. It remembers what does not work here.
 */
export class FileCopier {
  readonly #checkCancelled: () => void;
  #canShare = true;
  #canCopyRange = true;
  #buffer: Buffer | undefined;

  /** @param checkCancelled called before each step; what it throws ends the copy */
  constructor(checkCancelled: () => void) {
    this.#checkCancelled = checkCancelled;
  }

  /** Copies all data of `from` to the empty file `to`; `stat` is of `from`. */
  copy(from: number, to: number, stat: Stats): void {
    if (stat.size === 0 || this.#share(from, to)) return;
    if (stat.blocks * 512 >= stat.size) this.#copyRange(from, to, 0, stat.size);
    else this.#copySparse(from, to, stat.size);
  }

  #share(from: number, to: number): boolean {
    if (!this.#canShare) return false;
    try {
      reflink(from, to);
      return true;
    } catch (error) {
      if (!hasErrno(error, ...cannot)) throw error;
      this.#canShare = false;
      return false;
    }
  }

  #copySparse(from: number, to: number, size: number): void {
    ftruncateSync(to, size);
    for (let position = 0; position < size;) {
      let start: number;
      try {
        start = seekData(from, position);
      } catch (error) {
        // Only a hole follows.
        if (hasErrno(error, "ENXIO")) return;
        throw error;
      }
      const end = seekHole(from, start);
      this.#copyRange(from, to, start, end - start);
      position = end;
    }
  }

  #copyRange(from: number, to: number, start: number, length: number): void {
    seekSet(from, start);
    seekSet(to, start);
    let copied = 0;
    while (copied < length) {
      this.#checkCancelled();
      const step = this.#copyStep(from, to, Math.min(length - copied, largestCopy));
      if (step === 0) return;
      copied += step;
    }
  }

  #copyStep(from: number, to: number, length: number): number {
    if (this.#canCopyRange) {
      try {
        return copyFileRange(from, to, length);
      } catch (error) {
        if (!hasErrno(error, ...cannot)) throw error;
        this.#canCopyRange = false;
      }
    }
    this.#buffer ??= Buffer.allocUnsafe(bufferSize);
    const read = readSync(from, this.#buffer, 0, Math.min(length, bufferSize), null);
    for (let written = 0; written < read;) written += writeSync(to, this.#buffer, written, read - written, null);
    return read;
  }
}
