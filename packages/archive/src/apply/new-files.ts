/**
 * What a file has from birth. Where the kernel gives a new file the owner and mode that it is to have anyway, two
 * system calls a file are saved; layers have ten thousands of files.
 *
 * @module
 */
import { AtFlag, fstatat, openat, OpenFlag } from "@ctrd/sys";
import type { TarEntry } from "../tar/entry.ts";
import type { OpenDirectory } from "./directories.ts";

/** A file just made. */
export interface NewFile {
  fd: number;
  /** Owner and mode are the entry's already. */
  complete: boolean;
}

/** What new files in a directory get. */
interface Inherited {
  uid: number;
  gid: number;
  /** Permission bits that are not taken away by the umask or a default access list. */
  modeMask: number;
}

const newFileFlags = OpenFlag.WrOnly | OpenFlag.Creat | OpenFlag.Excl | OpenFlag.NoFollow;

/**
 * Makes files. The first one in each directory shows what a file gets there: set-group-id, a `grpid` mount, default
 * access lists and the umask all have a say.
 */
export class NewFiles {
  #inherited: WeakMap<OpenDirectory, Inherited> = new WeakMap();

  /** Makes the file `name` for `entry` in `parent`. @throws SysError `EEXIST` … */
  make(entry: TarEntry, parent: OpenDirectory, name: string | Uint8Array): NewFile {
    const known = this.#inherited.get(parent);
    if (known === undefined) {
      const fd = openat(parent.fd, name, newFileFlags, 0o777);
      const status = fstatat(fd, "", AtFlag.EmptyPath);
      this.#inherited.set(parent, { uid: status.uid, gid: status.gid, modeMask: status.mode & 0o777 });
      return { fd, complete: false };
    }
    // Extended attributes may be access lists, which change the mode; set-id bits are not in the mask.
    const complete =
      entry.uid === known.uid &&
      entry.gid === known.gid &&
      (entry.mode & known.modeMask) === entry.mode &&
      entry.xattrs.size === 0;
    return { fd: openat(parent.fd, name, newFileFlags, complete ? entry.mode : 0o600), complete };
  }

  /** Forgets what was seen: a directory that may be known under two names has changed. */
  forget(): void {
    this.#inherited = new WeakMap();
  }
}
