/**
 * Sparse files: GNU's old format and PAX formats 0.0, 0.1 and 1.0.
 *
 * @module
 */
import type { SparseRun } from "./entry.ts";
import { invalidArchive } from "./invalid-archive.ts";
import { parseDecimal, readNumber } from "./numbers.ts";
import type { PaxRecords } from "./pax.ts";

/** Runs more than this are refused: each costs a write. */
const maxRuns = 1 << 20;

/** Adds the runs in a block of GNU's old format; `count` pairs of 12-byte numbers from `start` on. */
export function readOldRuns(block: Buffer, start: number, count: number, runs: SparseRun[]): void {
  for (let index = 0; index < count; index++) {
    const at = start + index * 24;
    if (block[at] === 0) return;
    const offset = readNumber(block, at, 12, "sparse offset");
    runs.push({ offset, length: readNumber(block, at + 12, 12, "sparse length") });
  }
  if (runs.length > maxRuns) throw invalidArchive("too many sparse runs");
}

/** How PAX records say that a file is sparse. */
export interface PaxSparse {
  /** Bytes with holes. */
  size: number;
  /** Name that replaces the entry's own, which is for readers that do not know the format. */
  name: string | undefined;
  /** `undefined`: the map is at the start of the data (format 1.0). */
  runs: SparseRun[] | undefined;
}

/** @returns `undefined` when the records tell of no sparse file */
export function paxSparse(records: PaxRecords): PaxSparse | undefined {
  const last = (key: string): string | undefined => records.findLast(([name]) => name === key)?.[1].toString("latin1");
  const size = last("GNU.sparse.realsize") ?? last("GNU.sparse.size");
  if (size === undefined) return undefined;
  const name = last("GNU.sparse.name");
  const base = { size: parseDecimal(size, "sparse size"), name: name === "" ? undefined : name };
  if (last("GNU.sparse.major") === "1" && last("GNU.sparse.minor") === "0") return { ...base, runs: undefined };
  const map = last("GNU.sparse.map");
  const numbers =
    map === undefined
      ? records.filter(([key]) => key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes").map(([, v]) => `${v}`)
      : map.split(",").filter((word) => word !== "");
  return { ...base, runs: pairs(numbers) };
}

/** A map larger than this is refused. */
const maxMapSize = 1 << 20;

/** The map at the start of format 1.0's data: a count and that many pairs, one number a line, padded to a block. */
export class DataMap {
  readonly #blocks: Buffer[] = [];
  #lines = 0;
  #wanted: number | undefined;

  /** Adds a block; the runs once they are complete. Blocks are parsed once, whatever a hostile count says. */
  push(block: Buffer): SparseRun[] | undefined {
    this.#blocks.push(Buffer.from(block));
    if (this.#blocks.length * block.length > maxMapSize) throw invalidArchive("sparse map is too large");
    for (const byte of block) if (byte === 0x0a) this.#lines++;
    if (this.#wanted === undefined && this.#lines > 0) {
      const text = Buffer.concat(this.#blocks).toString("latin1");
      this.#wanted = 1 + 2 * parseDecimal(text.slice(0, text.indexOf("\n")), "sparse run count");
      if (this.#wanted < 1) throw invalidArchive("negative sparse run count");
    }
    if (this.#wanted === undefined || this.#lines < this.#wanted) return undefined;
    return pairs(Buffer.concat(this.#blocks).toString("latin1").split("\n").slice(1, this.#wanted));
  }
}

function pairs(numbers: readonly string[]): SparseRun[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * maxRuns) throw invalidArchive("malformed sparse map");
  const runs: SparseRun[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    const offset = parseDecimal(numbers[index] ?? "", "sparse offset");
    runs.push({ offset, length: parseDecimal(numbers[index + 1] ?? "", "sparse length") });
  }
  return runs;
}

/** Checks that runs are in order, inside `size`, and as long together as the data that follows. */
export function checkRuns(runs: readonly SparseRun[], size: number, stored: number): void {
  if (size < 0) throw invalidArchive("negative sparse size");
  let end = 0;
  let total = 0;
  for (const run of runs) {
    if (run.length < 0 || run.offset < end || run.offset + run.length > size) {
      throw invalidArchive("sparse runs overlap or exceed the file");
    }
    end = run.offset + run.length;
    total += run.length;
  }
  if (total !== stored) throw invalidArchive("sparse runs and data have different lengths");
}
