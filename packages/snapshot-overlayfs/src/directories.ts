/**
 * The directories of one overlay snapshot.
 */
import { chmodSync, lchownSync, mkdirSync, statSync } from "node:fs";
import { SnapshotKind } from "@ctrd/core/snapshots";
import type { SnapshotChain, SnapshotDirectories } from "@ctrd/storage";
import { mappedRoot } from "./id-mapping.ts";
import type { Owner } from "./id-mapping.ts";

/** The files of one snapshot: its upper directory, and a lower directory of its children. */
export function upperOf(directories: SnapshotDirectories, id: string): string {
  return `${directories.of(id)}/fs`;
}

/** The work directory that overlayfs needs beside an upper directory. */
export function workOf(directories: SnapshotDirectories, id: string): string {
  return `${directories.of(id)}/work`;
}

/**
 * Makes what is in the directory of a new snapshot.
 *
 * @throws `invalid-argument` for malformed mapping labels
 */
export function fillSnapshot(directories: SnapshotDirectories, directory: string, chain: SnapshotChain): void {
  const { info } = chain.record;
  const [nearest] = chain.parentIds;
  const owner = mappedRoot(info.labels) ?? (nearest === undefined ? undefined : ownerOf(upperOf(directories, nearest)));
  makeDirectory(`${directory}/fs`, 0o755);
  if (owner !== undefined) lchownSync(`${directory}/fs`, owner.uid, owner.gid);
  if (info.kind === SnapshotKind.Active) makeDirectory(`${directory}/work`, 0o711);
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
