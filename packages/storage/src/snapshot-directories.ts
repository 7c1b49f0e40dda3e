/**
 * Where a snapshotter keeps what: its records in one file, and a directory for each snapshot.
 */
import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { createYield } from "./turns.ts";

/** Paths below one snapshotter root. */
export class SnapshotDirectories {
  /** The snapshotter's root. */
  readonly root: string;
  /** One directory for each snapshot that has files of its own, named by its id. */
  readonly snapshots: string;
  /** Records of the snapshots. */
  readonly database: string;

  /** @param root absolute path of the snapshotter's root */
  constructor(root: string) {
    this.root = root;
    this.snapshots = join(root, "snapshots");
    this.database = join(root, "metadata.db");
  }

  /** Directory of one snapshot. */
  of(id: string): string {
    return `${this.snapshots}/${id}`;
  }

  /** Where a snapshot's directory is built before it is renamed to {@link SnapshotDirectories.of}. */
  unfinished(id: string): string {
    return `${this.snapshots}/new-${id}`;
  }

  /** Makes the root and `snapshots`, closed to all but their owner, also where they were open before. */
  make(): void {
    for (const directory of [this.root, this.snapshots]) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      chmodSync(directory, 0o700);
    }
  }

  /** The highest id that any directory is named by, also those that a crash left unfinished; 0 without any. */
  highestId(): number {
    return readdirSync(this.snapshots).reduce((highest, name) => Math.max(highest, idInName(name) ?? 0), 0);
  }

  /**
   * Paths below `snapshots` that nothing owns: removed snapshots, and what a crash left.
   *
   * @param ids of the snapshots there are; asked once the names have been read, or a new snapshot would not be among them
   */
  async orphans(ids: () => ReadonlySet<string>): Promise<string[]> {
    const yieldTurn = createYield();
    const names: string[] = [];
    for await (const { name } of await opendir(this.snapshots, { bufferSize: 256 })) {
      names.push(name);
      await yieldTurn();
    }
    const owned = ids();
    return names
      .filter((name) => !owned.has(name.startsWith("new-") ? name.slice(4) : name))
      .map((name) => `${this.snapshots}/${name}`);
  }
}

/** The number in the name of a snapshot's directory, finished or not; `undefined` for other names. */
function idInName(name: string): number | undefined {
  const digits = /^(?:new-)?([1-9]\d{0,15})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
