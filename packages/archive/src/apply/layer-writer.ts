/**
 * Makes the entries of a layer beneath a root.
 *
 * @module
 */
import { ftruncateSync, writeSync } from "node:fs";
import { resourceExhausted } from "@ctrd/core/errors";
import type { FileTime } from "@ctrd/sys";
import {
  AT_FDCWD,
  AtFlag,
  close,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  fstatat,
  hasErrno,
  linkat,
  makeDevice,
  mkdirat,
  mknodat,
  openat,
  OpenFlag,
  removeTreeAt,
  symlinkat,
  utimensat,
} from "@ctrd/sys";
import { toPath, toText } from "../byte-string.ts";
import type { TarEntry } from "../tar/entry.ts";
import { invalidArchive } from "../tar/invalid-archive.ts";
import type { TarSink } from "../tar/reader.ts";
import { accessTimeOf, checkOwner, modifyTimeOf, pathIn, pathOf, setXattrs } from "./attributes.ts";
import type { Directories, OpenDirectory } from "./directories.ts";
import type { NewFile } from "./new-files.ts";
import { NewFiles } from "./new-files.ts";
import { cleanPath, joinPath, splitPath } from "./paths.ts";
import { parseWhiteout } from "./whiteouts.ts";
import type { WhiteoutTarget } from "./whiteout-target.ts";

/** How entries are made. */
export interface LayerWriterOptions {
  directories: Directories;
  whiteouts: WhiteoutTarget;
  /** Names like those of whiteouts are files like others. */
  plainNames?: boolean;
  /** Set owners. */
  owners: boolean;
  /** Most entries. */
  maxEntries: number;
  /** Make device nodes; a user namespace cannot. */
  devices: boolean;
  warn(message: string): void;
}

interface OpenFile extends NewFile {
  /** Bytes written or skipped so far. */
  end: number;
}

interface DirectoryTimes {
  accessTime: FileTime;
  modifyTime: FileTime;
}

const directoryFlags = OpenFlag.RdOnly | OpenFlag.Directory | OpenFlag.NoFollow;
const fileType = { char: 0o020000, block: 0o060000, fifo: 0o010000 } as const;

/** The sink of a layer's entries. */
export class LayerWriter implements TarSink {
  readonly #options: LayerWriterOptions;
  readonly #directories: Directories;
  /** Times of directories by clean path: set last, since making entries changes them. */
  readonly #directoryTimes: Map<string, DirectoryTimes> = new Map();
  #entry: TarEntry | undefined;
  #parent: OpenDirectory | undefined;
  #name = "";
  #file: OpenFile | undefined;
  readonly #newFiles: NewFiles = new NewFiles();
  /** Entries seen so far. */
  entries = 0;

  constructor(options: LayerWriterOptions) {
    this.#options = options;
    this.#directories = options.directories;
  }

  /** Name of the entry being made, for messages. */
  get current(): string | undefined {
    return this.#entry === undefined ? undefined : toText(this.#entry.name);
  }

  begin(entry: TarEntry): void {
    this.#entry = entry;
    this.entries++;
    if (this.entries > this.#options.maxEntries) {
      throw resourceExhausted(`layer has more than ${this.#options.maxEntries} entries`);
    }
    if (entry.name.includes("\0") || entry.linkName.includes("\0")) throw invalidArchive("NUL in a name");
    const path = cleanPath(entry.name);
    // The root itself belongs to whoever made it.
    if (path === "") return;
    checkOwner(entry);
    const { directory, name } = splitPath(path);
    const parent = this.#directories.ensure(directory);
    const whiteout = this.#options.plainNames === true ? undefined : parseWhiteout(name);
    if (whiteout !== undefined) {
      this.#options.whiteouts.apply(this.#directories, parent, whiteout, entry);
      return;
    }
    this.#parent = parent;
    this.#name = name;
    this.#make(entry, path, parent, name);
    if (entry.type !== "directory") this.#directoryTimes.delete(path);
    this.#options.whiteouts.written(parent, name);
  }

  data(bytes: Buffer, position: number): void {
    const file = this.#file;
    if (file === undefined) return;
    let at = 0;
    while (at < bytes.length) at += writeSync(file.fd, bytes, at, bytes.length - at, position + at);
    file.end = position + bytes.length;
  }

  end(): void {
    if (this.#file !== undefined && this.#entry !== undefined) this.#finishFile(this.#file, this.#entry);
    this.#file = undefined;
    this.#entry = undefined;
  }

  /** Sets what is set last. */
  finish(): void {
    for (const [path, times] of this.#directoryTimes) {
      try {
        const { directory, name } = splitPath(path);
        utimensat(this.#directories.get(directory).fd, toPath(name), times.accessTime, times.modifyTime);
      } catch (error) {
        // A later entry or whiteout of this layer removed it.
        if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw error;
      }
    }
  }

  /** Closes a file that an error left open. */
  close(): void {
    if (this.#file !== undefined) close(this.#file.fd);
    this.#file = undefined;
  }

  #make(entry: TarEntry, path: string, parent: OpenDirectory, name: string): void {
    switch (entry.type) {
      case "file":
        this.#file = { ...this.#replacing(parent, name, (at) => this.#newFiles.make(entry, parent, at)), end: 0 };
        return;
      case "directory":
        this.#makeDirectory(entry, path, parent, name);
        return;
      case "symlink":
        this.#replacing(parent, name, (at) => symlinkat(toPath(entry.linkName), parent.fd, at));
        this.#setOwnerAndTimes(entry, parent, name);
        return;
      case "link":
        this.#makeLink(entry, parent, name);
        return;
      default:
        this.#makeNode(entry, entry.type, parent, name);
    }
  }

  /** Runs `make`, which fails when the name exists; what is there is then removed, whatever it is. */
  #replacing<T>(parent: OpenDirectory, name: string, make: (name: string | Uint8Array) => T): T {
    const at = toPath(name);
    try {
      return make(at);
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
    }
    this.#remove(parent, name);
    return make(at);
  }

  #remove(parent: OpenDirectory, name: string): void {
    const type = fstatat(parent.fd, toPath(name)).mode & 0o170000;
    removeTreeAt(parent.fd, toPath(name));
    if (type === 0o040000 || type === 0o120000) this.#directories.forget(parent);
  }

  #finishFile(file: OpenFile, entry: TarEntry): void {
    const { fd } = file;
    if (file.end < entry.size) ftruncateSync(fd, entry.size);
    if (!file.complete) {
      if (this.#options.owners) fchown(fd, entry.uid, entry.gid);
      if (entry.xattrs.size > 0 && this.#parent !== undefined) {
        this.#setXattrs(entry, pathIn(this.#parent.fd, this.#name));
      }
      fchmod(fd, entry.mode);
    }
    utimensat(fd, null, accessTimeOf(entry), modifyTimeOf(entry));
    this.#file = undefined;
    close(fd);
  }

  #setXattrs(entry: TarEntry, path: string | Uint8Array): void {
    setXattrs(path, entry.xattrs, (name, why) => {
      this.#options.warn(`extended attribute ${name} of ${toText(entry.name)} ${why}`);
    });
  }

  #makeDirectory(entry: TarEntry, path: string, parent: OpenDirectory, name: string): void {
    const at = toPath(name);
    let fd: number;
    try {
      mkdirat(parent.fd, at, 0o700);
      fd = openat(parent.fd, at, directoryFlags);
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
      fd = this.#reuseDirectory(parent, name);
      this.#newFiles.forget();
    }
    const directory = this.#directories.adopt(path, fd);
    if (this.#options.owners) fchown(directory.fd, entry.uid, entry.gid);
    if (entry.xattrs.size > 0) this.#setXattrs(entry, `${pathOf(directory.fd)}/.`);
    fchmod(directory.fd, entry.mode);
    this.#directoryTimes.set(path, { accessTime: accessTimeOf(entry), modifyTime: modifyTimeOf(entry) });
  }

  /** Opens the directory that is there, or one in place of whatever else is. */
  #reuseDirectory(parent: OpenDirectory, name: string): number {
    const at = toPath(name);
    try {
      return openat(parent.fd, at, directoryFlags);
    } catch (error) {
      if (!hasErrno(error, "ENOTDIR", "ELOOP")) throw error;
    }
    const hidesLower = this.#options.whiteouts.isMarker(parent, name);
    this.#remove(parent, name);
    mkdirat(parent.fd, at, 0o700);
    const fd = openat(parent.fd, at, directoryFlags);
    if (hidesLower) this.#options.whiteouts.makeOpaque(fd);
    return fd;
  }

  /** A link shares its target's inode, so the attributes are the target's. */
  #makeLink(entry: TarEntry, parent: OpenDirectory, name: string): void {
    const target = splitPath(cleanPath(entry.linkName));
    const source = joinPath(target.directory, target.name);
    if (source === joinPath(parent.path, name)) return;
    const link = (at: string | Uint8Array): void => {
      // Looked up each time: making way may have closed it.
      const from = this.#directories.get(target.directory);
      try {
        linkat(from.fd, toPath(target.name), parent.fd, at);
      } catch (error) {
        const isDirectory =
          hasErrno(error, "EPERM") && (fstatat(from.fd, toPath(target.name)).mode & 0o170000) === 0o040000;
        throw isDirectory ? invalidArchive("hard link to a directory", error) : error;
      }
    };
    if (target.name === "") throw invalidArchive(`hard link to the root`);
    this.#replacing(parent, name, link);
  }

  #makeNode(entry: TarEntry, type: keyof typeof fileType, parent: OpenDirectory, name: string): void {
    if (type !== "fifo" && !this.#options.devices) return;
    const { deviceMajor: major, deviceMinor: minor } = entry;
    if (type !== "fifo" && !(major >= 0 && major < 1 << 12 && minor >= 0 && minor < 1 << 20)) {
      throw invalidArchive(`device ${major}:${minor} is out of range`);
    }
    const device = type === "fifo" ? 0 : makeDevice(major, minor);
    this.#replacing(parent, name, (at) => mknodat(parent.fd, at, fileType[type] | 0o600, device));
    this.#setOwnerAndTimes(entry, parent, name);
  }

  /** For what must not be opened. The mode is set through `O_PATH`: by name it would follow a link swapped in. */
  #setOwnerAndTimes(entry: TarEntry, parent: OpenDirectory, name: string): void {
    const at = toPath(name);
    if (this.#options.owners) fchownat(parent.fd, at, entry.uid, entry.gid);
    if (entry.xattrs.size > 0) this.#setXattrs(entry, pathIn(parent.fd, name));
    if (entry.type !== "symlink") {
      const fd = openat(parent.fd, at, OpenFlag.Path | OpenFlag.NoFollow);
      try {
        fchmodat(AT_FDCWD, pathOf(fd), entry.mode);
      } finally {
        close(fd);
      }
    }
    utimensat(parent.fd, at, accessTimeOf(entry), modifyTimeOf(entry), AtFlag.SymlinkNofollow);
  }
}
