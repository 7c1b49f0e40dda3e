/**
 * Reads the history from one event on.
 */
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { errnoOf } from "@ctrd/core/errors";
import { lostEvents } from "./lost-events.ts";
import type { NumberedEnvelope } from "./records.ts";
import { decodeRecords } from "./records.ts";
import type { Segment } from "./segments.ts";

/** Bytes that are read at once: some hundred events, decoded in about a millisecond. */
const chunkBytes = 128 << 10;

/** What a cursor reads. */
export interface ReadableHistory {
  /** Sequence of the last event that is in the files. */
  readonly written: number;
  /** In order; all but the last stay as they are, and the oldest may go. */
  readonly segments: readonly Segment[];
}

/** A reader of the history. It keeps a file open until it is closed. */
export class HistoryCursor {
  readonly #history: ReadableHistory;
  #position: number;
  #segment: Segment | undefined;
  #file: FileHandle | undefined;
  #offset = 0;
  #chunk = chunkBytes;

  /** @param position the sequence of the last event that is known */
  constructor(history: ReadableHistory, position: number) {
    this.#history = history;
    this.#position = position;
  }

  /** Sequence of the last event that was read. */
  get position(): number {
    return this.#position;
  }

  /** Whether all events that are in the files have been read. */
  get isAtEnd(): boolean {
    return this.#position >= this.#history.written;
  }

  /** The next events, in order; none at the end. Where some are missing stands an event that says so. */
  async next(): Promise<NumberedEnvelope[]> {
    const lost: NumberedEnvelope[] = [];
    for (;;) {
      if (this.#segment === undefined) {
        const segment = this.#following();
        if (segment === undefined) return lost;
        if (segment.after > this.#position) {
          lost.push(lostEvents(segment.after, 0));
          this.#position = segment.after;
        }
        if (!(await this.#open(segment))) continue;
      }
      const read = (await this.#read()) ?? (await this.#leave());
      const news = read.filter((envelope) => envelope.sequence > BigInt(this.#position));
      if (news.length === 0) continue;
      this.#position = Number(news.at(-1)?.sequence);
      return [...lost, ...news];
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    [this.#file, this.#segment, this.#offset] = [undefined, undefined, 0];
    await file?.close();
  }

  /** The file in which the next event is; undefined at the end. */
  #following(): Segment | undefined {
    if (this.isAtEnd) return undefined;
    const { segments } = this.#history;
    return segments.findLast(({ after }) => after <= this.#position) ?? segments[0];
  }

  /** False when the file was removed in this moment. */
  async #open(segment: Segment): Promise<boolean> {
    try {
      this.#file = await open(segment.path, "r");
    } catch (error) {
      if (errnoOf(error) === "ENOENT" && !this.#history.segments.includes(segment)) return false;
      throw error;
    }
    this.#segment = segment;
    return true;
  }

  /** The events of the next piece of the file; undefined when the file has no more. */
  async #read(): Promise<NumberedEnvelope[] | undefined> {
    const [segment, file] = [this.#segment, this.#file];
    if (segment === undefined || file === undefined) return undefined;
    const length = Math.min(this.#chunk, segment.size - this.#offset);
    if (length <= 0) return undefined;
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, this.#offset);
    const { envelopes, bytes, damaged, needed } = decodeRecords(buffer.subarray(0, bytesRead));
    this.#offset += bytes;
    this.#chunk = Math.max(chunkBytes, needed);
    const isCut = bytes === 0 && (bytesRead < length || this.#offset + needed > segment.size);
    return damaged || isCut ? [...envelopes, ...this.#skip(segment)] : envelopes;
  }

  /** Closes a file that was read to its end. What comes next is in the one that follows, unless that was removed. */
  async #leave(): Promise<NumberedEnvelope[]> {
    const after = this.#segment?.after ?? 0;
    await this.close();
    const next = this.#history.segments.find((segment) => segment.after > after);
    return next === undefined || next.after <= this.#position ? [] : [lostEvents(next.after, 0)];
  }

  /** Passes over the rest of a file that is damaged. */
  #skip(segment: Segment): NumberedEnvelope[] {
    const next = this.#history.segments.find(({ after }) => after > segment.after);
    this.#offset = segment.size;
    return [lostEvents(next?.after ?? this.#history.written, 0)];
  }
}
