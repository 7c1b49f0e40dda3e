/**
 * The directories of snapshots.
 */
import { chmodSync, lchownSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { errnoOf, messageOf, resourceExhausted } from "@ctrd/core/errors";
import { SnapshotKind } from "@ctrd/core/snapshots";
import type { SnapshotChain } from "@ctrd/storage";
import { mappedRoot } from "./id-mapping.ts";
import type { Owner } from "./id-mapping.ts";
import { idInName } from "./layout.ts";
import type { Layout } from "./layout.ts";

/** Makes the root and `snapshots`, closed to all but their owner, also where they were open before. */
export function makeRoot(layout: Layout): void {
  for (const directory of [layout.root, layout.snapshots]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
  }
}

/** The highest id that any directory is named by, also those that a crash left unfinished; 0 without any. */
export function highestId(layout: Layout): number {
  return readdirSync(layout.snapshots).reduce((highest, name) => Math.max(highest, idInName(name) ?? 0), 0);
}

/**
 * Makes the directories of a new snapshot: built beside their place, then renamed, so that they are there whole or
 * not at all. A handful of quick calls: waiting for the thread pool between them would take longer.
 *
 * @throws `resource-exhausted` when the filesystem is full, `invalid-argument` for malformed mapping labels
 */
export function makeSnapshot(layout: Layout, chain: SnapshotChain): void {
  const { id, info } = chain.record;
  const [nearest] = chain.parentIds;
  const owner = mappedRoot(info.labels) ?? (nearest === undefined ? undefined : ownerOf(layout.upper(nearest)));
  const directory = layout.unfinished(id);
  try {
    mkdirSync(directory, 0o700);
    makeDirectory(`${directory}/fs`, 0o755);
    if (owner !== undefined) lchownSync(`${directory}/fs`, owner.uid, owner.gid);
    if (info.kind === SnapshotKind.Active) makeDirectory(`${directory}/work`, 0o711);
    renameSync(directory, layout.snapshot(id));
  } catch (error) {
    if (errnoOf(error) !== "ENOSPC" && errnoOf(error) !== "EDQUOT") throw error;
    throw resourceExhausted(`create snapshot "${info.name}": ${messageOf(error)} (free space or inodes)`, {
      cause: error,
    });
  }
}

function makeDirectory(path: string, mode: number): void {
  mkdirSync(path, mode);
  // The umask may have taken bits away.
  chmodSync(path, mode);
}

function ownerOf(path: string): Owner {
  const { uid, gid } = statSync(path);
  return { uid, gid };
}
