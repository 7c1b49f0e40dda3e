/**
 * A tar parser that is fed chunks of any size and hands out entries and their data without copying.
 *
 * @module
 */
import type { SparseRun, TarEntry, TarEntryType } from "./entry.ts";
import type { RawHeader } from "./header.ts";
import { blockSize, isZeroBlock, parseHeader, readText } from "./header.ts";
import { invalidArchive } from "./invalid-archive.ts";
import { readNumber } from "./numbers.ts";
import type { PaxRecords } from "./pax.ts";
import { parsePaxRecords } from "./pax.ts";
import { applyPaxRecords } from "./pax-entry.ts";
import { checkRuns, DataMap, paxSparse, readOldRuns } from "./sparse.ts";

/** Receives what the parser finds. For each entry: `begin`, any number of `data`, `end`. */
export interface TarSink {
  begin(entry: TarEntry): void;
  /** Bytes of a file at `position`; valid only during the call. Positions ascend; what is left out is a hole. */
  data(bytes: Buffer, position: number): void;
  end(): void;
}

/** Extended headers and long names larger than this are refused. */
const maxMetaSize = 1 << 20;

const types: ReadonlyMap<string, TarEntryType> = new Map([
  ["\0", "file"],
  ["0", "file"],
  ["7", "file"],
  ["S", "file"],
  ["1", "link"],
  ["2", "symlink"],
  ["3", "char"],
  ["4", "block"],
  ["5", "directory"],
  ["6", "fifo"],
]);

const noXattrs: ReadonlyMap<string, Buffer> = new Map();

/**
 * What the bytes being read are. `zero` is the block after a first zero block; `meta` an extended header or long name;
 * `runs` a block of GNU's sparse map; `map` the sparse map in the data; `skip` padding.
 */
type State = "header" | "zero" | "meta" | "runs" | "map" | "data" | "skip" | "ended";

/** The parser. Call `push` for every chunk, then `finish`. */
export class TarReader {
  readonly #sink: TarSink;
  #state: State = "header";
  /** Bytes of `meta`, `data` or `skip` still to come. */
  #left = 0;
  #padding = 0;
  /** Bytes of an unfinished block or meta payload. */
  #held: Buffer[] = [];
  #heldLength = 0;
  #metaType = "";
  #pax: PaxRecords = [];
  #longName: string | undefined;
  #longLink: string | undefined;
  #entry: TarEntry | undefined;
  #runs: SparseRun[] = [];
  #run = 0;
  #map: DataMap = new DataMap();
  #position = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** Parses `chunk`. @throws ContainerdError `invalid-argument` for a malformed archive; what the sink throws */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && this.#state !== "ended") {
      if (this.#state === "data") at = this.#takeData(chunk, at);
      else if (this.#state === "skip") at = this.#takeSkip(chunk, at);
      else if (this.#state === "meta") at = this.#takeMeta(chunk, at);
      else at = this.#takeBlock(chunk, at);
    }
  }

  /**
   * Checks that the archive ended between entries. An archive without its two zero blocks is complete too, and one
   * without the padding of its last file: umoci writes such layers, and Go's reader takes them.
   */
  finish(): void {
    const isBetween = this.#state === "skip" || (this.#state === "header" && this.#heldLength === 0);
    const between = isBetween && !this.#hasMeta();
    if (this.#state === "ended" || this.#state === "zero" || between) return;
    throw invalidArchive("unexpected end of the tar stream");
  }

  #hasMeta(): boolean {
    return this.#pax.length > 0 || this.#longName !== undefined || this.#longLink !== undefined;
  }

  #takeBlock(chunk: Buffer, at: number): number {
    let block: Buffer;
    let end: number;
    if (this.#heldLength === 0 && chunk.length - at >= blockSize) {
      end = at + blockSize;
      block = chunk.subarray(at, end);
    } else {
      end = Math.min(chunk.length, at + blockSize - this.#heldLength);
      if (!this.#hold(chunk, at, end, blockSize)) return end;
      block = this.#release();
    }
    if (this.#state === "header") this.#onHeader(block);
    else if (this.#state === "zero") this.#onSecondZero(block);
    else if (this.#state === "runs") this.#onRunsBlock(block);
    else this.#onMapBlock(block);
    return end;
  }

  /** Keeps a copy of part of a chunk; whether `wanted` bytes are held now. */
  #hold(chunk: Buffer, at: number, end: number, wanted: number): boolean {
    this.#held.push(Buffer.from(chunk.subarray(at, end)));
    this.#heldLength += end - at;
    return this.#heldLength === wanted;
  }

  #release(): Buffer {
    const whole = this.#held.length === 1 && this.#held[0] !== undefined ? this.#held[0] : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldLength = 0;
    return whole;
  }

  #onHeader(block: Buffer): void {
    if (isZeroBlock(block)) {
      this.#state = "zero";
      return;
    }
    const header = parseHeader(block);
    if (header.size < 0) throw invalidArchive("negative size");
    if ("xgLK".includes(header.type)) {
      if (header.size > maxMetaSize) throw invalidArchive(`extended header of ${header.size} bytes is too large`);
      this.#metaType = header.type;
      this.#left = header.size;
      this.#padding = paddingOf(header.size);
      this.#state = "meta";
      if (this.#left === 0) this.#onMeta(Buffer.alloc(0));
      return;
    }
    this.#startEntry(header, block);
  }

  #onSecondZero(block: Buffer): void {
    if (!isZeroBlock(block)) throw invalidArchive("a single zero block between entries");
    this.#state = "ended";
  }

  #takeMeta(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left - this.#heldLength);
    if (this.#heldLength === 0 && end - at === this.#left) this.#onMeta(chunk.subarray(at, end));
    else if (this.#hold(chunk, at, end, this.#left)) this.#onMeta(this.#release());
    return end;
  }

  #onMeta(data: Buffer): void {
    if (this.#metaType === "x") this.#pax = parsePaxRecords(data);
    // Global headers have no effect on layers, but must be well formed.
    else if (this.#metaType === "g") parsePaxRecords(data);
    else if (this.#metaType === "L") this.#longName = readText(data, 0, data.length);
    else this.#longLink = readText(data, 0, data.length);
    this.#skip(this.#padding);
  }

  #skip(count: number): void {
    this.#left = count;
    this.#state = count === 0 ? "header" : "skip";
  }

  #takeSkip(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    this.#skip(this.#left - (end - at));
    return end;
  }

  #startEntry(header: RawHeader, block: Buffer): void {
    const { entry, stored } = this.#makeEntry(header);
    this.#entry = entry;
    this.#runs = [];
    const sparse = entry.type === "file" ? paxSparse(this.#pax) : undefined;
    this.#pax = [];
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#left = stored;
    this.#padding = paddingOf(stored);
    if (sparse !== undefined) {
      entry.size = sparse.size;
      entry.name = sparse.name ?? entry.name;
      if (sparse.runs === undefined) {
        this.#state = "map";
        return;
      }
      this.#runs = sparse.runs;
    } else if (header.type === "S") {
      entry.size = readNumber(block, 483, 12, "sparse size");
      readOldRuns(block, 386, 4, this.#runs);
      if (block[482] !== 0) {
        this.#state = "runs";
        return;
      }
    } else this.#runs = [{ offset: 0, length: stored }];
    this.#beginEntry(entry);
  }

  #makeEntry(header: RawHeader): { entry: TarEntry; stored: number } {
    let type = types.get(header.type);
    const name = this.#longName ?? header.name;
    if (type === undefined) {
      const character = JSON.stringify(header.type);
      throw invalidArchive(`entry ${JSON.stringify(name)} has the unknown type ${character}`);
    }
    const entry: TarEntry = {
      type,
      name,
      linkName: this.#longLink ?? header.linkName,
      mode: header.mode & 0o7777,
      uid: header.uid,
      gid: header.gid,
      size: header.size,
      modifyTime: { seconds: header.modifySeconds, nanos: 0 },
      accessTime: undefined,
      deviceMajor: header.deviceMajor,
      deviceMinor: header.deviceMinor,
      xattrs: noXattrs,
    };
    if (this.#pax.length > 0) applyPaxRecords(entry, this.#pax);
    // Entries without data may carry a size all the same, for example hard links.
    const stored = type === "file" ? entry.size : 0;
    // Before there was a type for directories, a slash marked them.
    if (header.type === "\0" && entry.name.endsWith("/")) type = "directory";
    entry.type = type;
    entry.size = type === "file" ? stored : 0;
    return { entry, stored };
  }

  #onRunsBlock(block: Buffer): void {
    readOldRuns(block, 0, 21, this.#runs);
    if (block[504] === 0) this.#beginEntry(this.#entry as TarEntry);
  }

  #onMapBlock(block: Buffer): void {
    this.#left -= blockSize;
    if (this.#left < 0) throw invalidArchive("sparse map exceeds its entry");
    const runs = this.#map.push(block);
    if (runs === undefined) return;
    this.#map = new DataMap();
    this.#runs = runs;
    this.#beginEntry(this.#entry as TarEntry);
  }

  #beginEntry(entry: TarEntry): void {
    if (entry.type === "file") checkRuns(this.#runs, entry.size, this.#left);
    this.#run = 0;
    this.#position = this.#runs[0]?.offset ?? 0;
    this.#sink.begin(entry);
    this.#state = "data";
    if (this.#left === 0 || entry.type !== "file") this.#endEntry();
  }

  #takeData(chunk: Buffer, at: number): number {
    const run = this.#runs[this.#run];
    // Not undefined: the runs are as long as the data.
    const runLeft = run === undefined ? 0 : run.offset + run.length - this.#position;
    if (runLeft === 0) {
      this.#run++;
      this.#position = this.#runs[this.#run]?.offset ?? 0;
      return at;
    }
    const end = Math.min(chunk.length, at + runLeft);
    this.#sink.data(chunk.subarray(at, end), this.#position);
    this.#position += end - at;
    this.#left -= end - at;
    if (this.#left === 0) this.#endEntry();
    return end;
  }

  #endEntry(): void {
    this.#sink.end();
    this.#entry = undefined;
    // What a directory that was marked by a slash has for data is passed over.
    this.#skip(this.#left + this.#padding);
  }
}

function paddingOf(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}
