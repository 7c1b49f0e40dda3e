/**
 * Moments at which the power may go, and what is on the disk then: all that was written before the last flush, and of
 * what was written since any part, in any order.
 */
import { createRandom } from "@ctrd/testkit/fixtures";
import type { FileHandle } from "node:fs/promises";
import { copyFile, open } from "node:fs/promises";
import type { LogEntry, WriteLog } from "./write-log.ts";

/** A disk writes this much at once or not at all. */
const sector = 512;

/** A moment. */
export interface Cut {
  /** Number of entries of the log that came before it. */
  readonly at: number;
  /** Chance that a write since the last flush is on the disk; 0: none, 1: all. */
  readonly kept: number;
}

/** `count` moments between two entries of the log: after flushes, and at random with some of the writes since. */
export function chooseCuts(entries: readonly LogEntry[], from: number, count: number, seed: number): Cut[] {
  const random = createRandom(seed);
  const flushes = entries.flatMap(({ kind }, index) => (kind === "flush" && index >= from ? [index + 1] : []));
  const pick = (): Cut => {
    const flush = flushes[Math.floor(random() * flushes.length)];
    if (flush !== undefined && random() < 0.3) return { at: flush, kept: 0 };
    const at = from + 1 + Math.floor(random() * (entries.length - from));
    return { at, kept: [0, 0.5, 0.9, 1][Math.floor(random() * 4)] ?? 0 };
  };
  return Array.from({ length: count }, pick).toSorted((a, b) => a.at - b.at);
}

/** Makes images of the disk at one moment after the other. */
export class Replay {
  readonly #log: WriteLog;
  readonly #durable: FileHandle;
  readonly #path: string;
  readonly #random: () => number;
  /** Entries that are in the durable image. */
  #done = 0;

  private constructor(log: WriteLog, durable: FileHandle, path: string, seed: number) {
    [this.#log, this.#durable, this.#path, this.#random] = [log, durable, path, createRandom(seed)];
  }

  /** @param path file for what is on the disk for good */
  static async open(log: WriteLog, path: string, bytes: number, seed: number): Promise<Replay> {
    const durable = await open(path, "wx+", 0o600);
    await durable.truncate(bytes);
    return new Replay(log, durable, path, seed);
  }

  /** Writes the disk at `cut` into the file `image`. Cuts must come in order. @returns how many writes were lost */
  async imageAt(cut: Cut, image: string): Promise<number> {
    const { entries } = this.#log;
    const lastFlush = entries.findLastIndex(({ kind }, index) => index < cut.at && kind === "flush");
    for (; this.#done <= lastFlush; this.#done++) await apply(this.#log, entries[this.#done], this.#durable, Infinity);
    await copyFile(this.#path, image);
    const target = await open(image, "r+");
    let lost = 0;
    try {
      for (const entry of entries.slice(lastFlush + 1, cut.at)) {
        if (entry.kind !== "write") continue;
        if (this.#random() < cut.kept) await apply(this.#log, entry, target, Infinity);
        else {
          lost++;
          // A part of it may be there all the same.
          const torn = this.#random() < 0.2 ? sector * Math.floor((this.#random() * entry.size) / sector) : 0;
          if (cut.kept > 0) await apply(this.#log, entry, target, torn);
        }
      }
    } finally {
      await target.close();
    }
    return lost;
  }

  close(): Promise<void> {
    return this.#durable.close();
  }
}

async function apply(log: WriteLog, entry: LogEntry | undefined, file: FileHandle, most: number): Promise<void> {
  if (entry?.kind !== "write") return;
  const data = log.data(entry).subarray(0, most);
  if (data.length > 0) await file.write(data, 0, data.length, entry.offset);
}
