/**
 * What one entry of a tar stream says.
 *
 * Names and link targets are *byte strings*: one character for each byte (latin1), because they need not be UTF-8. See
 * `byte-string.ts`.
 *
 * @module
 */
import type { FileTime } from "@ctrd/sys";

/** Kinds of entries that make something. */
export type TarEntryType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo";

/** One entry. */
export interface TarEntry {
  type: TarEntryType;
  /** As in the archive, not cleaned. */
  name: string;
  /** Target of a link or symbolic link; else empty. */
  linkName: string;
  /** Permission bits with set-id and sticky bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of the file once made (with holes). 0 for everything but files. */
  size: number;
  modifyTime: FileTime;
  /** Only PAX has one. */
  accessTime: FileTime | undefined;
  deviceMajor: number;
  deviceMinor: number;
  /** Extended attributes by name. */
  xattrs: ReadonlyMap<string, Buffer>;
}

/** A run of data in a sparse file. */
export interface SparseRun {
  offset: number;
  length: number;
}
