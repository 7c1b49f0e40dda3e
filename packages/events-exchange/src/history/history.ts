/**
 * The durable history of events: appended in batches, bounded in size and age, read from any point on.
 *
 * An event is on its way to the file when `append` returns, and safe from the death of this process once it is written,
 * which is what the promise waits for. Nothing is synced: after a loss of power the last events may be missing.
 */
import type { Envelope } from "@ctrd/core/events";
import { lostEventsTopic } from "@ctrd/core/events";
import type { Logger } from "@ctrd/core/log";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import type { ReadableHistory } from "./cursor.ts";
import { HistoryCursor } from "./cursor.ts";
import { countEvents, lostEvents } from "./lost-events.ts";
import type { NumberedEnvelope } from "./records.ts";
import { encodeRecord } from "./records.ts";
import { recover } from "./recover.ts";
import type { HistoryLimits, Segment } from "./segments.ts";
import { countExpired, removeSegment, segmentAgeMs, segmentBytes, segmentPath } from "./segments.ts";

/** How long events wait for others to be written with, in milliseconds, unless somebody waits for them. */
const gatherMs = 2;
/** Bytes of events that may wait for a slow disk; more are not kept. */
const maxWaitingBytes = 16 << 20;

/** The history of a daemon. Only one process may have it open. */
export class EventHistory implements ReadableHistory {
  readonly limits: HistoryLimits;
  /** The last events of the past, for whoever must know what came already. */
  readonly recent: readonly NumberedEnvelope[];
  readonly #directory: string;
  readonly #log: Logger;
  /** In order; the last one is written to. */
  readonly #segments: Segment[];
  #file: FileHandle | undefined;
  /** Sequence of the last event that was numbered. */
  #last: number;
  /** Sequence of the last event in the files. */
  #written: number;
  #waiting: NumberedEnvelope[] = [];
  #waitingBytes = 0;
  #beingWritten: readonly NumberedEnvelope[] = [];
  #flushing: Promise<void> | undefined;
  /** Ends the wait before the first batch. */
  #hurry: () => void = () => {};
  /** Stands for what could not be written, until something can. */
  #gap: NumberedEnvelope | undefined;
  /** Whether the last file ends with half a record that could not be removed. */
  #torn = false;

  private constructor(
    directory: string,
    limits: HistoryLimits,
    log: Logger,
    found: { segments: Segment[]; last: number; recent: NumberedEnvelope[] },
  ) {
    this.#directory = directory;
    this.limits = limits;
    this.#log = log;
    this.#segments = found.segments;
    this.#last = this.#written = found.last;
    this.recent = found.recent;
  }

  /** Opens the history in `directory`. What a crash left half written is cut off. */
  static async open(directory: string, limits: HistoryLimits, log: Logger): Promise<EventHistory> {
    const found = await recover(directory, log);
    const history = new EventHistory(directory, limits, log, found);
    await history.#prune(0);
    return history;
  }

  /** Sequence of the last event that is in the files. */
  get written(): number {
    return this.#written;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /**
   * Gives an event its place and keeps it. The promise is resolved once it is written, or cannot be.
   *
   * @param urgent whether somebody waits for that
   */
  append(envelope: Envelope, urgent: boolean): { numbered: NumberedEnvelope; written: Promise<void> } {
    const numbered = { ...envelope, sequence: BigInt(this.#next()) };
    const bytes = numbered.event?.value.length ?? 0;
    if (this.#waitingBytes + bytes > maxWaitingBytes) this.#drop(numbered);
    else this.#waiting.push(numbered);
    this.#waitingBytes += bytes;
    this.#flushing ??= this.#flush();
    if (urgent) this.#hurry();
    return { numbered, written: this.#flushing };
  }

  /** Events after `sequence` that are not in the files yet. */
  unwritten(sequence: number): NumberedEnvelope[] {
    return [...this.#beingWritten, ...this.#waiting].filter((envelope) => envelope.sequence > BigInt(sequence));
  }

  /** Reads the files from the event on that follows `sequence`. */
  cursor(sequence: number): HistoryCursor {
    return new HistoryCursor(this, sequence);
  }

  /** Writes what waits and closes the file. */
  async close(): Promise<void> {
    this.#hurry();
    await this.#flushing;
    await this.#file?.close();
    this.#file = undefined;
  }

  #next(): number {
    this.#last = Math.max(this.#last + 1, Date.now() * 1000);
    return this.#last;
  }

  /** The disk is too slow: what stands for lost events takes the place of this one. */
  #drop(numbered: NumberedEnvelope): void {
    const before = this.#waiting.at(-1)?.topic === lostEventsTopic ? this.#waiting.splice(-1) : [];
    this.#waiting.push(lostEvents(Number(numbered.sequence), countEvents(before) + 1));
  }

  /** Writes until nothing waits. What comes while a batch is written is the next batch. */
  async #flush(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, gatherMs);
      this.#hurry = () => {
        clearTimeout(timer);
        setImmediate(resolve);
      };
    });
    while (this.#waiting.length > 0) {
      this.#beingWritten = this.#gap === undefined ? this.#waiting : [this.#gap, ...this.#waiting];
      [this.#waiting, this.#waitingBytes] = [[], 0];
      await this.#writeBatch(this.#beingWritten);
      this.#beingWritten = [];
    }
    this.#flushing = undefined;
  }

  async #writeBatch(batch: readonly NumberedEnvelope[]): Promise<void> {
    const last = Number(batch.at(-1)?.sequence);
    try {
      await this.#write(Buffer.concat(batch.map(encodeRecord)));
      this.#written = last;
      if (this.#gap !== undefined) this.#log.info({}, "the history of events is written again");
      this.#gap = undefined;
    } catch (error) {
      if (this.#gap === undefined) this.#log.error({ err: error }, "cannot write the history of events");
      this.#gap = lostEvents(last, countEvents(batch));
    }
  }

  async #write(data: Buffer): Promise<void> {
    const segment = await this.#segmentFor(data.length);
    const file = (this.#file ??= await open(segment.path, "a", 0o600));
    try {
      for (let at = 0; at < data.length;) at += (await file.write(data, at)).bytesWritten;
      segment.size += data.length;
    } catch (error) {
      // No record may follow half a record.
      this.#torn = true;
      await file.truncate(segment.size);
      this.#torn = false;
      throw error;
    }
  }

  /** The file that `bytes` more go into: another one when the last is full or old. */
  async #segmentFor(bytes: number): Promise<Segment> {
    const current = this.#segments.at(-1);
    const isFull = current !== undefined && current.size > 0 && current.size + bytes > segmentBytes(this.limits);
    const isOld = current !== undefined && Date.now() - current.after / 1000 > segmentAgeMs(this.limits);
    if (current !== undefined && !isFull && !this.#torn && !(isOld && current.size > 0)) return current;
    await this.#file?.close();
    this.#file = undefined;
    const after = current === undefined ? Number(this.#beingWritten[0]?.sequence) - 1 : this.#written;
    const segment = { path: segmentPath(this.#directory, after), after, size: 0 };
    this.#file = await open(segment.path, "a", 0o600);
    this.#segments.push(segment);
    this.#torn = false;
    await this.#prune(bytes);
    return segment;
  }

  async #prune(more: number): Promise<void> {
    const count = countExpired(this.#segments, more, this.limits, Date.now());
    for (const segment of this.#segments.splice(0, count)) await removeSegment(segment);
  }
}
