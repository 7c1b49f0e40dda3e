/**
 * Writing a layer as eStargz: a gzip layer that can be read file by file, since each file, and each part of a large one,
 * is a gzip member of its own, and a table at the end says where.
 *
 * @module
 */
import type { Hash } from "node:crypto";
import { createHash } from "node:crypto";
import type { TarEntry, TarSink } from "@ctrd/archive";
import { endOfArchive, formatHeader, padding } from "@ctrd/archive";
import { failedPrecondition } from "@ctrd/core/errors";
import type { BlockWriter } from "../convert/output.ts";
import { formatFooter } from "./footer.ts";
import { GzipMembers } from "./members.ts";
import type { TocItem } from "./toc.ts";
import { cleanEntryPath, formatToc, isEstargzOwn, noPrefetchLandmark, prefetchLandmark, tocName } from "./toc.ts";

/** Bytes of a file that are compressed as one. */
const chunkSize = 4 << 20;
const zeros = Buffer.alloc(chunkSize);
const landmarkData = Buffer.of(0xf);

/** What was written. */
export interface WrittenEstargz {
  readonly diffId: string;
  readonly tocDigest: string;
  readonly uncompressedSize: number;
}

/** A file that is being written. */
interface OpenFile {
  readonly item: TocItem;
  readonly whole: Hash;
  /** Bytes so far. */
  position: number;
  /** The chunk being written: its member, where it begins in the file, its hash if it is not the whole file. */
  member: number;
  start: number;
  part: Hash | undefined;
}

/** Takes the entries of a layer. Call `drain` after every chunk of it, and `finish` at the end. */
export class EstargzWriter implements TarSink {
  readonly #output: BlockWriter;
  readonly #members: GzipMembers;
  /** By clean path: of entries of the same name only the last counts. */
  readonly #items: Map<string, TocItem> = new Map();
  readonly #linked: Set<string> = new Set();
  #file: OpenFile | undefined;
  /** Which entries are taken; others are passed over. */
  takes: (path: string) => boolean = () => true;

  constructor(output: BlockWriter, level: number | undefined) {
    this.#output = output;
    this.#members = new GzipMembers(output, level);
  }

  begin(entry: TarEntry): void {
    const path = cleanEntryPath(entry.name);
    if (!isEstargzOwn(path) && this.takes(path)) this.#begin(entry, path);
  }

  data(bytes: Buffer, position: number): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#fill(file, position);
    // The reader uses its memory again.
    this.#append(file, Buffer.from(bytes));
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    const { entry } = file.item;
    this.#fill(file, entry.size);
    file.item.digest = digestOf(file.whole);
    this.#endChunk(file);
    this.#members.add(Buffer.alloc(padding(entry.size)));
    this.#file = undefined;
  }

  /** Writes the mark behind the files that are fetched ahead. */
  landmark(hasPrefetched: boolean): void {
    const name = hasPrefetched ? prefetchLandmark : noPrefetchLandmark;
    this.#begin(plainFile(name, landmarkData.length), name);
    this.data(landmarkData, 0);
    this.end();
  }

  /** Compresses and writes what is ready. */
  drain(): Promise<void> {
    return this.#members.drain();
  }

  /** Writes the table of contents and the footer. */
  async finish(): Promise<WrittenEstargz> {
    const members = this.#members;
    members.seal();
    const tocOffset = await members.flush();
    const toc = formatToc(this.#items.values(), members.offsets);
    const head = formatHeader(plainFile(tocName, toc.length));
    for (const part of [head, toc, Buffer.alloc(padding(toc.length)), endOfArchive]) members.add(part);
    members.seal();
    await members.flush();
    await this.#output.write(formatFooter(tocOffset));
    const tocDigest = digestOf(createHash("sha256").update(toc));
    return { diffId: members.diffId(), tocDigest, uncompressedSize: members.plainSize };
  }

  #begin(entry: TarEntry, path: string): void {
    const item: TocItem = { entry, chunks: [], digest: "" };
    this.#note(item, path);
    this.#members.add(formatHeader(entry));
    if (entry.type !== "file") return;
    this.#file = { item, whole: createHash("sha256"), position: 0, member: 0, start: 0, part: undefined };
  }

  #note(item: TocItem, path: string): void {
    if (this.#items.delete(path) && this.#linked.has(path) && item.entry.type !== "directory") {
      throw failedPrecondition(
        `${JSON.stringify(path)} is in the layer twice, and linked to in between; eStargz cannot hold that`,
      );
    }
    if (item.entry.type === "link") this.#linked.add(cleanEntryPath(item.entry.linkName));
    this.#items.set(path, item);
  }

  /** Zeros up to a position: holes are not kept. */
  #fill(file: OpenFile, position: number): void {
    while (file.position < position) this.#append(file, zeros.subarray(0, position - file.position));
  }

  #append(file: OpenFile, bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      if (file.position % chunkSize === 0) this.#startChunk(file);
      const part = bytes.subarray(at, at + chunkSize - (file.position % chunkSize));
      file.whole.update(part);
      file.part?.update(part);
      this.#members.add(part);
      file.position += part.length;
      at += part.length;
    }
  }

  #startChunk(file: OpenFile): void {
    this.#endChunk(file);
    file.member = this.#members.seal();
    file.start = file.position;
    file.part = file.item.entry.size > chunkSize ? createHash("sha256") : undefined;
  }

  #endChunk({ item, start, position, member, part }: OpenFile): void {
    if (position === start) return;
    const digest = part === undefined ? item.digest : digestOf(part);
    item.chunks.push({ member, offset: start, size: position - start, digest });
  }
}

function digestOf(hash: Hash): string {
  return `sha256:${hash.digest("hex")}`;
}

function plainFile(name: string, size: number): TarEntry {
  return {
    type: "file",
    name,
    linkName: "",
    mode: 0o444,
    uid: 0,
    gid: 0,
    size,
    modifyTime: { seconds: 0, nanos: 0 },
    accessTime: undefined,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
  };
}
