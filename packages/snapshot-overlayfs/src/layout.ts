/**
 * Where a snapshotter keeps what. Pure.
 */
import { join } from "node:path";

/** Paths below one snapshotter root. */
export class Layout {
  /** The snapshotter's root. */
  readonly root: string;
  /** One directory for each snapshot, named by its id. */
  readonly snapshots: string;
  /** Records of the snapshots. */
  readonly database: string;

  constructor(root: string) {
    this.root = root;
    this.snapshots = join(root, "snapshots");
    this.database = join(root, "metadata.db");
  }

  /** Directory of one snapshot. */
  snapshot(id: string): string {
    return `${this.snapshots}/${id}`;
  }

  /** Where a snapshot's directory is built before it is renamed to {@link Layout.snapshot}. */
  unfinished(id: string): string {
    return `${this.snapshots}/new-${id}`;
  }

  /** The files of one snapshot: its upper directory, and a lower directory of its children. */
  upper(id: string): string {
    return `${this.snapshots}/${id}/fs`;
  }

  /** The work directory that overlayfs needs beside an upper directory. */
  work(id: string): string {
    return `${this.snapshots}/${id}/work`;
  }
}

/** The number in the name of a snapshot's directory, finished or not; `undefined` for other names. */
export function idInName(name: string): number | undefined {
  const digits = /^(?:new-)?([1-9]\d{0,15})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
