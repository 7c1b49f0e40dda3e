/**
 * Where a snapshotter keeps what. Pure.
 */
import { join } from "node:path";

/** Paths below one snapshotter root. */
export class Layout {
  /** The snapshotter's root. */
  readonly root: string;
  /** One directory for each snapshot that has files of its own, named by its id. */
  readonly snapshots: string;
  /** Records of the snapshots. */
  readonly database: string;

  constructor(root: string) {
    this.root = root;
    this.snapshots = join(root, "snapshots");
    this.database = join(root, "metadata.db");
  }

  /** The files of one snapshot. */
  snapshot(id: string): string {
    return `${this.snapshots}/${id}`;
  }

  /** Where a snapshot is copied before it is renamed to {@link Layout.snapshot}. */
  unfinished(id: string): string {
    return `${this.snapshots}/new-${id}`;
  }

  /** Where a removed snapshot is while its files are deleted. */
  removed(id: string): string {
    return `${this.snapshots}/rm-${id}`;
  }
}

/** The number in the name of a directory of a snapshot, finished, removed or not; `undefined` for other names. */
export function idInName(name: string): number | undefined {
  const digits = /^(?:new-|rm-)?([1-9]\d{0,15})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
