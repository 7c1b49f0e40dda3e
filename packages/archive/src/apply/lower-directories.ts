/**
 * Attributes for directories that a layer implies but does not mention: those of the nearest lower layer that has them.
 *
 * @module
 */
import {
  AT_FDCWD,
  AtFlag,
  close,
  fchmodat,
  fstatat,
  hasErrno,
  openat,
  openat2,
  OpenFlag,
  ResolveFlag,
} from "@ctrd/sys";
import { toPath } from "../byte-string.ts";
import { copyAttributes, pathOf } from "./attributes.ts";
import type { OpenDirectory } from "./directories.ts";

/** The lower directories of an overlay, open. */
export class LowerDirectories {
  readonly #fds: number[] = [];
  readonly #unsupported: (name: string) => void;

  /** @param paths nearest first */
  constructor(paths: readonly string[], unsupported: (name: string) => void) {
    this.#unsupported = unsupported;
    try {
      for (const path of paths) this.#fds.push(openat(AT_FDCWD, path, OpenFlag.Path | OpenFlag.Directory));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Gives `directory` the attributes that it has below; 0755 when it is new. */
  copyTo(directory: OpenDirectory): void {
    for (const root of this.#fds) {
      const fd = open(root, directory.path);
      if (fd === undefined) continue;
      try {
        // A whiteout or a file hides what is further down.
        if ((fstatat(fd, "", AtFlag.EmptyPath).mode & 0o170000) !== 0o040000) break;
        copyAttributes(fd, directory.fd, this.#unsupported);
        return;
      } finally {
        close(fd);
      }
    }
    // The umask of the daemon must not decide.
    fchmodat(AT_FDCWD, pathOf(directory.fd), 0o755);
  }

  close(): void {
    for (const fd of this.#fds.splice(0)) close(fd);
  }
}

function open(root: number, path: string): number | undefined {
  try {
    return openat2(root, toPath(path), OpenFlag.Path, 0, ResolveFlag.InRoot | ResolveFlag.NoMagiclinks);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
