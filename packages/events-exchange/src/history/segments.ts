/**
 * Files of the history. Each is named for the sequence that its events follow: `<sequence>.events`.
 *
 * Sequences are microseconds since 1970, or one more than the last one: they grow over restarts without a counter on
 * disk, also when the last events before a crash were not written, and tell when an event came.
 */
import { errnoOf } from "@ctrd/core/errors";
import { mkdir, readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";

/** A file of the history. */
export interface Segment {
  readonly path: string;
  /** Its events come after the one of this sequence. */
  readonly after: number;
  /** Bytes of whole records. */
  size: number;
}

const digits = 16;

/** Path of the file whose events come after `sequence`. */
export function segmentPath(directory: string, sequence: number): string {
  return join(directory, `${String(sequence).padStart(digits, "0")}.events`);
}

/** The files in `directory`, which is made when it is missing, in order. */
export async function listSegments(directory: string): Promise<Segment[]> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const segments: Segment[] = [];
  for (const name of (await readdir(directory)).sort()) {
    const match = /^(\d{16})\.events$/.exec(name);
    if (match === null) continue;
    const path = join(directory, name);
    segments.push({ path, after: Number(match[1]), size: (await stat(path)).size });
  }
  return segments;
}

/** Removes a file of the history. One that is gone is as good. */
export async function removeSegment({ path }: Segment): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** How much of the history is kept. */
export interface HistoryLimits {
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

/** The parts that a history of `maxBytes` has: one of them goes at a time. */
const parts = 16;

/** Size at which another file is begun. */
export function segmentBytes({ maxBytes }: HistoryLimits): number {
  return Math.ceil(maxBytes / parts);
}

/** Age at which another file is begun, so that the old one can go in time. */
export function segmentAgeMs({ maxAgeMs }: HistoryLimits): number {
  return maxAgeMs / parts;
}

/** How many files, the oldest first, have to go before `more` bytes are written; never the last. */
export function countExpired(segments: readonly Segment[], more: number, limits: HistoryLimits, now: number): number {
  let bytes = more + segments.reduce((sum, { size }) => sum + size, 0);
  let count = 0;
  for (const [index, { size }] of segments.entries()) {
    const next = segments[index + 1];
    if (next === undefined) break;
    if (bytes <= limits.maxBytes && next.after / 1000 >= now - limits.maxAgeMs) break;
    bytes -= size;
    count++;
  }
  return count;
}
