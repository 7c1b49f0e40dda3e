/**
 * What whiteouts do: remove at once, or leave overlay's own markers.
 *
 * @module
 */
import { AtFlag, fchownat, fstatat, hasErrno, lsetxattr, mknodat, removeTreeAt } from "@ctrd/sys";
import { toPath } from "../byte-string.ts";
import type { TarEntry } from "../tar/entry.ts";
import { pathOf } from "./attributes.ts";
import type { Directories, OpenDirectory } from "./directories.ts";
import { joinPath } from "./paths.ts";
import { removeAllBut } from "./remove.ts";
import type { Whiteout } from "./whiteouts.ts";

/** How a tree takes whiteouts. */
export interface WhiteoutTarget {
  /** Acts on the marker `entry` in `parent`. */
  apply(directories: Directories, parent: OpenDirectory, whiteout: Whiteout, entry: TarEntry): void;
  /** Notes that this layer made `name` in `parent`. */
  written(parent: OpenDirectory, name: string): void;
  /** Whether `name` is a marker for "deleted", so that a directory in its place must not show lower layers. */
  isMarker(parent: OpenDirectory, name: string): boolean;
  /** Hides what lower layers have in the open directory `fd`. */
  makeOpaque(fd: number): void;
}

/** Whiteouts that remove. */
export class RemovingWhiteouts implements WhiteoutTarget {
  /** What this layer made, with the directories it is in. Real paths: links do not hide that two are the same. */
  readonly #written: Set<string> = new Set();

  apply(directories: Directories, parent: OpenDirectory, whiteout: Whiteout): void {
    if (whiteout.target === undefined) removeAllBut(parent.fd, parent.path, this.#written);
    else removeTreeAt(parent.fd, toPath(whiteout.target));
    directories.forget(parent);
  }

  written(parent: OpenDirectory, name: string): void {
    let path = joinPath(parent.path, name);
    while (path !== "" && !this.#written.has(path)) {
      this.#written.add(path);
      path = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    }
  }

  isMarker(): boolean {
    return false;
  }

  makeOpaque(): void {
    // Nothing lies beneath.
  }
}

/** Whiteouts in an overlay's upper directory. */
export class OverlayWhiteouts implements WhiteoutTarget {
  apply(directories: Directories, parent: OpenDirectory, whiteout: Whiteout, entry: TarEntry): void {
    if (whiteout.target === undefined) {
      this.makeOpaque(parent.fd);
      return;
    }
    const name = toPath(whiteout.target);
    const make = (): void => mknodat(parent.fd, name, 0o020000, 0);
    try {
      make();
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
      removeTreeAt(parent.fd, name);
      directories.forget(parent);
      make();
    }
    fchownat(parent.fd, name, entry.uid, entry.gid);
  }

  written(): void {
    // The markers are kept apart from what the layer makes.
  }

  isMarker(parent: OpenDirectory, name: string): boolean {
    const status = fstatat(parent.fd, toPath(name), AtFlag.SymlinkNofollow);
    return (status.mode & 0o170000) === 0o020000 && status.rdevMajor === 0 && status.rdevMinor === 0;
  }

  makeOpaque(fd: number): void {
    lsetxattr(`${pathOf(fd)}/.`, "trusted.overlay.opaque", Buffer.from("y"));
  }
}
