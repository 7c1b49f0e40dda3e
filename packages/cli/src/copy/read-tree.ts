/**
 * Reading a file or a directory with all below it as entries of an archive. Neither links nor what a racing process
 * swaps in lead elsewhere: every inode is opened without following, looked at, and only then read.
 *
 * @module
 */
import { readSync } from "node:fs";
import type { TarEntry, TarEntryType, TarSink } from "@ctrd/archive";
import type { FileStatus } from "@ctrd/sys";
import { AT_FDCWD, close, hasErrno, openat, OpenFlag, readlinkat, seekData, seekHole, xattrsOf } from "@ctrd/sys";
import type { Found } from "./tree.ts";
import { FileType, findIn, namesIn, pathOf, typeOf } from "./tree.ts";

const types: ReadonlyMap<number, TarEntryType> = new Map([
  [FileType.Fifo, "fifo"],
  [FileType.Char, "char"],
  [FileType.Directory, "directory"],
  [FileType.Block, "block"],
  [FileType.Regular, "file"],
  [FileType.Symlink, "symlink"],
]);
const pieceSize = 1 << 20;

/** Reads one tree. */
export class TreeReader {
  readonly #sink: TarSink;
  readonly #warn: (message: string) => void;
  /** First name of each file with several. */
  readonly #names: Map<string, string> = new Map();
  readonly #buffer: Buffer = Buffer.allocUnsafeSlow(pieceSize);

  constructor(sink: TarSink, warn: (message: string) => void) {
    this.#sink = sink;
    this.#warn = warn;
  }

  /**
   * Hands what is open to the sink, under `name` (a byte string). It yields often: in between the sink can be emptied.
   *
   * @param contents leaves the entry of a directory itself out
   */
  *read({ fd, status }: Found, name: string, contents = false): Generator<void> {
    const type = types.get(typeOf(status));
    // Sockets mean nothing without their process.
    if (type === undefined) return this.#warn(`${textOf(name)} is a socket, it is left out`);
    if (type === "directory") {
      if (!contents) yield* this.#plain(this.#entry("directory", `${name}/`, fd, status));
      for (const child of namesIn(fd)) yield* this.#child(fd, child, name === "" ? child : `${name}/${child}`);
      return;
    }
    const key = `${status.deviceMajor}:${status.deviceMinor}:${status.inode}`;
    const first = status.links > 1 ? this.#names.get(key) : undefined;
    if (first !== undefined) {
      yield* this.#plain({ ...this.#entry("link", name, fd, status), linkName: first, xattrs: new Map() });
      return;
    }
    if (status.links > 1) this.#names.set(key, name);
    const entry = this.#entry(type, name, fd, status);
    if (type === "symlink") entry.linkName = readlinkat(fd, "").toString("latin1");
    if (type === "file") yield* this.#file(fd, { ...entry, size: status.size });
    else yield* this.#plain(entry);
  }

  *#child(directory: number, child: string, name: string): Generator<void> {
    const found = findIn(directory, pathOf(child));
    if (found === undefined) return;
    try {
      yield* this.read(found, name);
    } finally {
      close(found.fd);
    }
  }

  *#plain(entry: TarEntry): Generator<void> {
    this.#sink.begin(entry);
    this.#sink.end();
    yield;
  }

  *#file(inode: number, entry: TarEntry): Generator<void> {
    // The inode is known to be a regular file: opening a device or a FIFO could do something.
    const fd = openat(AT_FDCWD, `/proc/self/fd/${inode}`, OpenFlag.RdOnly);
    try {
      this.#sink.begin(entry);
      for (let at = nextData(fd, 0); at < entry.size; at = nextData(fd, at)) {
        const end = Math.min(entry.size, endOfData(fd, at));
        while (at < end) {
          const length = readSync(fd, this.#buffer, 0, Math.min(pieceSize, end - at), at);
          if (length === 0) break;
          this.#sink.data(this.#buffer.subarray(0, length), at);
          at += length;
          yield;
        }
        if (at < end) break;
      }
      this.#sink.end();
    } finally {
      close(fd);
    }
  }

  #entry(type: TarEntryType, name: string, fd: number, status: FileStatus): TarEntry {
    return {
      type,
      name,
      linkName: "",
      mode: status.mode & 0o7777,
      uid: status.uid,
      gid: status.gid,
      size: 0,
      modifyTime: status.modifyTime,
      accessTime: undefined,
      deviceMajor: status.rdevMajor,
      deviceMinor: status.rdevMinor,
      xattrs: type === "symlink" ? new Map() : ownXattrs(fd),
    };
  }
}

/** Where data begins at or after a position; past the end when none follows. */
function nextData(fd: number, at: number): number {
  return seek(fd, at, seekData) ?? Infinity;
}

function endOfData(fd: number, at: number): number {
  return seek(fd, at, seekHole) ?? Infinity;
}

function seek(fd: number, at: number, call: (fd: number, offset: number) => number): number | undefined {
  try {
    return call(fd, at);
  } catch (error) {
    if (hasErrno(error, "ENXIO")) return undefined;
    // A file system without holes: it is all data.
    if (hasErrno(error, "EINVAL")) return call === seekData ? at : undefined;
    throw error;
  }
}

/** Extended attributes that a file is to keep: not those that belong to the file system that it is on. */
function ownXattrs(fd: number): Map<string, Buffer> {
  try {
    return new Map([...xattrsOf(fd)].filter(([name]) => !/^(?:trusted\.|security\.selinux$)/.test(name)));
  } catch (error) {
    // The file system has none.
    if (hasErrno(error, "EOPNOTSUPP")) return new Map();
    throw error;
  }
}

function textOf(name: string): string {
  return Buffer.from(name, "latin1").toString();
}
