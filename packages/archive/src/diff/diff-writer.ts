/**
 * Changes as a layer tar.
 *
 * @module
 */
import { readSync } from "node:fs";
import { failedPrecondition } from "@ctrd/core/errors";
import type { FileStatus } from "@ctrd/sys";
import { AtFlag, close, fstatat, openat, openat2, OpenFlag, readlinkat, ResolveFlag } from "@ctrd/sys";
import { joinPath, splitPath } from "../apply/paths.ts";
import { whiteoutPrefix } from "../apply/whiteouts.ts";
import { toPath, toText } from "../byte-string.ts";
import type { TarEntry, TarEntryType } from "../tar/entry.ts";
import { endOfArchive, formatHeader, padding } from "../tar/writer.ts";
import type { Change } from "./changes.ts";
import { capabilityXattr, readCapability } from "./same.ts";

const typeByMode: ReadonlyMap<number, TarEntryType> = new Map([
  [0o010000, "fifo"],
  [0o020000, "char"],
  [0o040000, "directory"],
  [0o060000, "block"],
  [0o100000, "file"],
  [0o120000, "symlink"],
]);

const noXattrs: ReadonlyMap<string, Buffer> = new Map();
const epoch = { seconds: 0, nanos: 0 };
const chunkSize = 1 << 20;

type Present = Exclude<Change, { kind: "delete" }>;

/** Turns changes into chunks of a tar stream. */
export class DiffWriter {
  readonly #upper: number;
  readonly #latest: number;
  /** Directories already written, by path. */
  readonly #directories: Set<string> = new Set();
  /** First name written of each inode with several. */
  readonly #sources: Map<string, string> = new Map();
  /** Names of inodes none of which changed so far. */
  readonly #waiting: Map<string, string[]> = new Map();
  #buffer: Buffer = Buffer.allocUnsafeSlow(chunkSize);
  #length = 0;

  /**
   * @param upper open root of the tree that entries are read from
   * @param latest seconds since the epoch that no time exceeds; `Infinity` for none
   */
  constructor(upper: number, latest: number) {
    this.#upper = upper;
    this.#latest = latest;
  }

  /** The tar stream. Each chunk is the receiver's to keep. */
  *chunks(changes: Iterable<Change>): Generator<Buffer> {
    for (const change of changes) {
      if (change.kind === "delete") yield* this.#whiteout(change.path);
      else yield* this.#present(change);
    }
    yield* this.#put(endOfArchive);
    if (this.#length > 0) yield this.#buffer.subarray(0, this.#length);
  }

  *#whiteout(path: string): Generator<Buffer> {
    const { directory, name } = splitPath(path);
    yield* this.#parents(path);
    yield* this.#put(formatHeader(plainEntry("file", joinPath(directory, whiteoutPrefix + name))));
  }

  *#present(change: Present): Generator<Buffer> {
    const { path, status } = change;
    const type = typeByMode.get(status.mode & 0o170000);
    // Sockets mean nothing without their process.
    if (type === undefined) return;
    const inode = status.links > 1 && type !== "directory" ? inodeKey(status) : undefined;
    const source = inode === undefined ? undefined : this.#sources.get(inode);
    if (source !== undefined) {
      yield* this.#link(path, source, status);
      return;
    }
    if (change.kind === "unchanged") {
      if (inode !== undefined) this.#waiting.set(inode, [...(this.#waiting.get(inode) ?? []), path]);
      return;
    }
    yield* this.#parents(path);
    yield* this.#entry(type, change);
    if (inode === undefined) return;
    this.#sources.set(inode, path);
    for (const other of this.#waiting.get(inode) ?? []) yield* this.#link(other, path, status);
    this.#waiting.delete(inode);
  }

  *#link(path: string, source: string, status: FileStatus): Generator<Buffer> {
    yield* this.#parents(path);
    yield* this.#put(formatHeader({ ...this.#describe("link", path, status), linkName: source }));
  }

  *#entry(type: TarEntryType, change: Present): Generator<Buffer> {
    const { path, status, parent, name } = change;
    if (type === "directory") this.#directories.add(path);
    const entry = this.#describe(type, type === "directory" ? `${path}/` : path, status);
    if (type === "symlink") entry.linkName = readlinkat(parent, toPath(name)).toString("latin1");
    if (type !== "file") {
      yield* this.#put(formatHeader(entry));
      return;
    }
    const capability = readCapability(parent, name);
    if (capability !== undefined) entry.xattrs = new Map([[capabilityXattr, capability]]);
    const fd = openat(parent, toPath(name), OpenFlag.RdOnly | OpenFlag.NoFollow | OpenFlag.NonBlock);
    try {
      yield* this.#put(formatHeader({ ...entry, size: status.size }));
      yield* this.#content(fd, status.size, path);
    } finally {
      close(fd);
    }
  }

  /** Directories on the way to `path` that were not written yet: a reader then need not guess their attributes. */
  *#parents(path: string): Generator<Buffer> {
    const { directory } = splitPath(path);
    if (directory === "" || this.#directories.has(directory)) return;
    yield* this.#parents(directory);
    this.#directories.add(directory);
    const fd = openat2(this.#upper, toPath(directory), OpenFlag.Path, 0, ResolveFlag.NoSymlinks);
    try {
      const status = fstatat(fd, "", AtFlag.EmptyPath);
      yield* this.#put(formatHeader(this.#describe("directory", `${directory}/`, status)));
    } finally {
      close(fd);
    }
  }

  #describe(type: TarEntryType, name: string, status: FileStatus): TarEntry {
    const device = type === "char" || type === "block";
    return {
      ...plainEntry(type, name),
      mode: status.mode & 0o7777,
      uid: status.uid,
      gid: status.gid,
      modifyTime: { seconds: Math.min(status.modifyTime.seconds, this.#latest), nanos: 0 },
      deviceMajor: device ? status.rdevMajor : 0,
      deviceMinor: device ? status.rdevMinor : 0,
    };
  }

  *#put(data: Buffer): Generator<Buffer> {
    let at = 0;
    while (at < data.length) {
      const copied = data.copy(this.#buffer, this.#length, at);
      at += copied;
      this.#length += copied;
      if (this.#length === chunkSize) yield this.#take();
    }
  }

  #take(): Buffer {
    const full = this.#buffer;
    this.#buffer = Buffer.allocUnsafeSlow(chunkSize);
    this.#length = 0;
    return full;
  }

  /** Exactly `size` bytes: what was appended meanwhile is left out. */
  *#content(fd: number, size: number, path: string): Generator<Buffer> {
    let left = size;
    while (left > 0) {
      const length = readSync(fd, this.#buffer, this.#length, Math.min(left, chunkSize - this.#length), null);
      if (length === 0) throw failedPrecondition(`file ${JSON.stringify(toText(path))} shrank while it was read`);
      left -= length;
      this.#length += length;
      if (this.#length === chunkSize) yield this.#take();
    }
    yield* this.#put(Buffer.alloc(padding(size)));
  }
}

function inodeKey(status: FileStatus): string {
  return `${status.deviceMajor}:${status.deviceMinor}:${status.inode}`;
}

function plainEntry(type: TarEntryType, name: string): TarEntry {
  return {
    type,
    name,
    linkName: "",
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    modifyTime: epoch,
    accessTime: undefined,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: noXattrs,
  };
}
