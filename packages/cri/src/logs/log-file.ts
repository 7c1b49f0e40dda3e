/**
 * A log file that lines are appended to in batches.
 *
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { failedPrecondition, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { LineBlock, LineSink } from "./line-writer.ts";

/** What waits for a slow disk, at most, apart from one more chunk. */
const maxWaiting = 1 << 20;
const blockBytes = 128 * 1024;
const newline = 0x0a;
/** How often is told that lines get lost, while they do. */
const lossReportMs = 30_000;

/** Blocks of all logs that are not in use. */
const freeBlocks: Buffer[] = [];
const maxFreeBlocks = 16;

/** Appends whole lines to a file that can be exchanged for another. */
export class LogFile implements LineSink {
  readonly #path: string;
  readonly #log: Logger;
  #handle: FileHandle;
  /** Blocks that are full, then the one that is being filled. */
  #blocks: LineBlock[] = [];
  #last: LineBlock | undefined;
  #waiting = 0;
  #writing: Promise<void> | undefined;
  #batch: Promise<void> | undefined;
  #closed = false;
  #room: PromiseWithResolvers<void> | undefined;
  #lost = { lines: 0, reportedAt: Number.NEGATIVE_INFINITY };

  private constructor(path: string, handle: FileHandle, log: Logger) {
    [this.#path, this.#handle, this.#log] = [path, handle, log];
  }

  /** Opens or makes the file, mode 0640. */
  static async open(path: string, log: Logger): Promise<LogFile> {
    return new LogFile(path, await openToAppend(path), log);
  }

  room(bytes: number): LineBlock {
    const last = this.#last;
    if (last !== undefined && last.used + bytes <= last.bytes.length) return last;
    const free = bytes > blockBytes ? Buffer.allocUnsafe(bytes) : (freeBlocks.pop() ?? Buffer.allocUnsafe(blockBytes));
    const next = { bytes: free, used: 0 };
    this.#blocks.push(next);
    this.#last = next;
    return next;
  }

  /**
   * Sends `bytes` that were filled in on their way.
   *
   * @returns a promise when the disk is behind: it resolves when more may come
   */
  flush(bytes: number): Promise<void> | undefined {
    this.#waiting += bytes;
    this.#writing ??= this.#write();
    if (this.#waiting <= maxWaiting) return undefined;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  /** Resolves when all that was filled in is written or lost. */
  async settled(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  /**
   * Goes on in the file that the path names now; makes it if there is none. Every line is in one of the two.
   *
   * @throws when it cannot be opened, and the old one is then kept; ContainerdError `failed-precondition` when closed
   */
  async reopen(): Promise<void> {
    const next = await openToAppend(this.#path);
    if (this.#closed) {
      await next.close();
      throw failedPrecondition(`log ${this.#path} is closed: its container has ended`);
    }
    // Batches use the handle that there is when they begin; the one under way has to end in its file.
    const old = this.#handle;
    this.#handle = next;
    await this.#batch;
    await old.close();
  }

  /** Closes the file; what waits must have settled. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#handle.close();
    if (this.#lost.lines > 0) this.#reportLoss();
  }

  async #write(): Promise<void> {
    // Lines of the same turn of the event loop become one batch.
    await Promise.resolve();
    while (this.#blocks.length > 0) {
      const batch = this.#blocks;
      this.#blocks = [];
      this.#last = undefined;
      const parts = batch.map(({ bytes, used }) => bytes.subarray(0, used));
      this.#batch = this.#append(parts);
      await this.#batch;
      this.#release(batch);
    }
    this.#writing = undefined;
  }

  #release(batch: readonly LineBlock[]): void {
    for (const { bytes, used } of batch) {
      this.#waiting -= used;
      if (bytes.length === blockBytes && freeBlocks.length < maxFreeBlocks) freeBlocks.push(bytes);
    }
    if (this.#waiting > maxWaiting / 2) return;
    this.#room?.resolve();
    this.#room = undefined;
  }

  async #append(parts: Buffer[]): Promise<void> {
    const handle = this.#handle;
    let left = parts;
    try {
      while (left.length > 0) {
        const { bytesWritten } = await handle.writev(left);
        left = after(left, bytesWritten);
      }
      if (this.#lost.lines > 0) this.#reportLoss();
    } catch (error) {
      await this.#lose(handle, parts, left, error);
    }
  }

  /** A full disk must not stop the container: the lines are lost, and told about. */
  async #lose(handle: FileHandle, parts: readonly Buffer[], left: readonly Buffer[], error: unknown): Promise<void> {
    this.#lost.lines += left.reduce((sum, part) => sum + countLines(part), 0);
    const torn = bytesOfTornLine(parts, left);
    try {
      if (torn > 0) await handle.truncate((await handle.stat()).size - torn);
    } catch (truncation) {
      this.#log.warn({ path: this.#path, err: messageOf(truncation) }, "a log line is torn");
    }
    const now = performance.now();
    if (now - this.#lost.reportedAt < lossReportMs) return;
    this.#lost.reportedAt = now;
    this.#log.warn(
      { path: this.#path, lines: this.#lost.lines, err: messageOf(error) },
      "log of a container not written, its lines get lost",
    );
  }

  #reportLoss(): void {
    this.#log.warn({ path: this.#path, lines: this.#lost.lines }, "lines of a container's log were lost");
    this.#lost = { lines: 0, reportedAt: Number.NEGATIVE_INFINITY };
  }
}

async function openToAppend(path: string): Promise<FileHandle> {
  return open(path, "a", 0o640);
}

/** What of `parts` comes after the first `bytes`. */
function after(parts: readonly Buffer[], bytes: number): Buffer[] {
  let skip = bytes;
  const left: Buffer[] = [];
  for (const part of parts) {
    if (skip < part.length) left.push(part.subarray(skip));
    skip = Math.max(0, skip - part.length);
  }
  return left;
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, at + 1)) lines += 1;
  return lines;
}

/** How many of the written bytes belong to a line whose rest is left. */
function bytesOfTornLine(parts: readonly Buffer[], left: readonly Buffer[]): number {
  const size = (buffers: readonly Buffer[]): number => buffers.reduce((sum, part) => sum + part.length, 0);
  const written = Buffer.concat([...parts]).subarray(0, size(parts) - size(left));
  return written.length - (written.lastIndexOf(newline) + 1);
}
