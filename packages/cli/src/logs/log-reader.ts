/**
 * Reading logs: from the oldest file to the newest, and on as they grow.
 *
 * @module
 */
import { watch } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import type { EndRecord, LogRecord } from "./log-writer.ts";
import { logFileName } from "./log-writer.ts";

/** A record of a log file, read back. */
export type ReadRecord = LogRecord | EndRecord;

/** Whether a run of the container ended here. */
export function isEnd(record: ReadRecord): record is EndRecord {
  return "end" in record;
}

/** The bytes of a record. */
export function bytesOf({ log = "", base64 }: LogRecord): Buffer {
  return base64 === undefined ? Buffer.from(log) : Buffer.from(base64, "base64");
}

const pieceSize = 1 << 16;
/** How often a file is looked at even if nobody tells that it has changed. */
const pollMs = 500;

/** Follows a log from its beginning or, with `fromEnd`, from what is written from now on. */
export class LogReader implements AsyncDisposable {
  readonly #directory: string;
  #file: FileHandle | undefined;
  #inode = 0n;
  #offset = 0;
  #rest = "";

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** All records that are there now. */
  async *existing(): AsyncGenerator<ReadRecord> {
    for (const name of await this.#files()) {
      await this.#openFile(name);
      yield* this.#records();
    }
  }

  /** Skips what is there now. */
  async skip(): Promise<void> {
    await this.#openFile(logFileName);
    this.#offset = this.#file === undefined ? 0 : Number((await this.#file.stat()).size);
  }

  /** Records from where it stands, as they come, until the signal aborts. */
  async *following(signal: AbortSignal): AsyncGenerator<ReadRecord> {
    let wake: () => void = () => {};
    const watcher = watch(this.#directory, () => wake());
    signal.addEventListener("abort", () => wake(), { once: true });
    try {
      while (!signal.aborted) {
        const changed = new Promise<void>((resolve) => (wake = resolve));
        yield* this.#records();
        const next = await this.#newer();
        if (next !== undefined) {
          // What was written between the last look and the rotation.
          yield* this.#records();
          await this.#openFile(next);
          continue;
        }
        const timer = setTimeout(() => wake(), pollMs);
        if (!signal.aborted) await changed;
        clearTimeout(timer);
      }
    } finally {
      watcher.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Names of the files, oldest first. */
  async #files(): Promise<string[]> {
    const number = (name: string): number => Number(name.slice(logFileName.length + 1) || 0);
    const names = await readdir(this.#directory);
    return names.filter((name) => name.startsWith(logFileName)).toSorted((a, b) => number(b) - number(a));
  }

  async #openFile(name: string): Promise<void> {
    await this.#file?.close();
    [this.#file, this.#offset, this.#rest] = [undefined, 0, ""];
    try {
      this.#file = await open(join(this.#directory, name));
      this.#inode = (await this.#file.stat({ bigint: true })).ino;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }

  async *#records(): AsyncGenerator<ReadRecord> {
    const buffer = Buffer.allocUnsafe(pieceSize);
    for (;;) {
      const { bytesRead = 0 } = (await this.#file?.read(buffer, 0, pieceSize, this.#offset)) ?? {};
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      // Lines are ASCII or whole UTF-8 that a piece may cut: latin1 keeps bytes until the line is whole.
      const lines = (this.#rest + buffer.toString("latin1", 0, bytesRead)).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) yield JSON.parse(Buffer.from(line, "latin1").toString("utf8")) as ReadRecord;
    }
  }

  /** The file after the one that is read, once that has been rotated. */
  async #newer(): Promise<string | undefined> {
    const names = await this.#files();
    if (this.#file === undefined) return names[0];
    for (const [at, name] of names.entries()) {
      if ((await this.#inodeOf(name)) === this.#inode) return names[at + 1];
    }
    // Rotated away altogether.
    return names[0];
  }

  async #inodeOf(name: string): Promise<bigint | undefined> {
    try {
      return (await stat(join(this.#directory, name), { bigint: true })).ino;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }
}
