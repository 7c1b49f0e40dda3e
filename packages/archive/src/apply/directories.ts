/**
 * Directories beneath the root, as descriptors. Paths are resolved by the kernel with the root as `/`, so neither links
 * in the layer nor one swapped in by another process lead outside; what follows happens on descriptors.
 *
 * @module
 */
import { readlinkSync } from "node:fs";
import {
  AT_FDCWD,
  close,
  hasErrno,
  mkdirat,
  openat,
  openat2,
  OpenFlag,
  readlinkat,
  ResolveFlag,
  SysError,
  unlinkat,
} from "@ctrd/sys";
import { toPath, toText } from "../byte-string.ts";
import { cleanPath, joinPath, splitPath } from "./paths.ts";

/** An open directory. The descriptor is for `*at` calls only and is not the holder's to close. */
export interface OpenDirectory {
  readonly fd: number;
  /** Where it really is, beneath the root, without symbolic links. */
  readonly path: string;
}

/** What the owner of the tree has to say about directories that the layer implies. */
export interface DirectoryHooks {
  /** Called after a directory that the layer does not mention was made. */
  made(directory: OpenDirectory): void;
  /** Whether `name` is a marker for "deleted"; a directory in its place starts empty. */
  isMarker(parent: OpenDirectory, name: string): boolean;
  /** Makes the directory `fd` hide what lower layers have there. */
  makeOpaque(fd: number): void;
}

/** Descriptors kept open. Layers list a directory's files together, so few are enough. */
const capacity = 64;
const maxLinks = 40;
const pathFlags = OpenFlag.Path | OpenFlag.Directory;
const resolveFlags = ResolveFlag.InRoot | ResolveFlag.NoMagiclinks;

/** The cache of open directories. */
export class Directories {
  readonly #rootFd: number;
  readonly #rootPath: string;
  readonly #open: Map<string, OpenDirectory> = new Map();
  readonly #hooks: DirectoryHooks;

  /** @throws SysError when `root` is no directory */
  constructor(root: string, hooks: DirectoryHooks) {
    this.#hooks = hooks;
    this.#rootFd = openat(AT_FDCWD, root, pathFlags);
    const path = realPath(this.#rootFd);
    this.#rootPath = path === "/" ? "" : path;
  }

  /** An existing directory by its clean path. @throws SysError `ENOENT`, `ENOTDIR`, `ELOOP` … */
  get(path: string): OpenDirectory {
    const known = this.#open.get(path);
    if (known !== undefined) {
      // Last used, last in the map.
      this.#open.delete(path);
      this.#open.set(path, known);
      return known;
    }
    const fd =
      path === ""
        ? openat(this.#rootFd, ".", pathFlags)
        : openat2(this.#rootFd, toPath(path), pathFlags, 0, resolveFlags);
    return this.#keep(path, fd);
  }

  /** A directory by its clean path; what is missing of it is made. */
  ensure(path: string, links = 0): OpenDirectory {
    try {
      return this.get(path);
    } catch (error) {
      if (path === "" || !hasErrno(error, "ENOENT", "ENOTDIR")) throw error;
    }
    const { directory, name } = splitPath(path);
    const parent = this.ensure(directory, links);
    const outcome = this.#make(parent, name);
    if (outcome === "present") return this.#resolveDangling(path, parent, name, links);
    const made = this.adopt(path, openat(parent.fd, toPath(name), pathFlags | OpenFlag.NoFollow));
    if (outcome === "made") this.#hooks.made(made);
    else this.#hooks.makeOpaque(made.fd);
    return made;
  }

  /** Takes over the descriptor of the directory `path`, which was just made or opened. */
  adopt(path: string, fd: number): OpenDirectory {
    const old = this.#open.get(path);
    if (old !== undefined) close(old.fd);
    this.#open.delete(path);
    return this.#keep(path, fd);
  }

  /**
   * Forgets every descriptor but that of `kept`, which is in use: after a directory or a symbolic link was removed,
   * paths may mean something else.
   */
  forget(kept?: OpenDirectory): void {
    for (const [path, directory] of this.#open) {
      if (directory === kept) continue;
      this.#open.delete(path);
      close(directory.fd);
    }
  }

  close(): void {
    this.forget();
    close(this.#rootFd);
  }

  #keep(path: string, fd: number): OpenDirectory {
    for (const [oldest, { fd: oldFd }] of this.#open) {
      if (this.#open.size < capacity) break;
      this.#open.delete(oldest);
      close(oldFd);
    }
    const directory = { fd, path: realPath(fd).slice(this.#rootPath.length + 1) };
    this.#open.set(path, directory);
    return directory;
  }

  /** `present`: a symbolic link or file stands there, or another made one meanwhile. */
  #make(parent: OpenDirectory, name: string): "made" | "replaced" | "present" {
    try {
      mkdirat(parent.fd, toPath(name), 0o755);
      return "made";
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
    }
    if (!this.#hooks.isMarker(parent, name)) return "present";
    unlinkat(parent.fd, toPath(name));
    mkdirat(parent.fd, toPath(name), 0o755);
    return "replaced";
  }

  /** A symbolic link to nothing: makes what it points to. */
  #resolveDangling(path: string, parent: OpenDirectory, name: string, links: number): OpenDirectory {
    let target: string;
    try {
      target = readlinkat(parent.fd, toPath(name)).toString("latin1");
    } catch (error) {
      // Not a link: a file, or a directory that appeared meanwhile.
      if (hasErrno(error, "EINVAL")) return this.get(path);
      throw error;
    }
    if (links >= maxLinks) throw new SysError(40, "openat2", toText(path));
    return this.ensure(cleanPath(target.startsWith("/") ? target : joinPath(parent.path, target)), links + 1);
  }
}

function realPath(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`, "latin1");
}
