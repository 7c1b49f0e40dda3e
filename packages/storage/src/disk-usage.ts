import { lstatSync, readdirSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import type { SnapshotUsage } from "@ctrd/core/snapshots";

/**
 * What a directory tree takes on disk: allocated bytes and inodes, the directory itself included. A file with several
 * names in the tree counts once. Names need not be UTF-8.
 */
export function diskUsage(directory: string): SnapshotUsage {
  const usage: SnapshotUsage = { size: 0n, inodes: 0n };
  const linked = new Set<string>();
  addTree(Buffer.from(directory), usage, linked);
  return usage;
}

function addTree(path: Buffer, usage: SnapshotUsage, linked: Set<string>): void {
  const stat = lstatSync(path, { bigint: true });
  if (!stat.isDirectory()) {
    addFile(stat, usage, linked);
    return;
  }
  count(stat, usage);
  for (const name of readdirSync(path, { encoding: "buffer" })) {
    addTree(Buffer.concat([path, slash, name]), usage, linked);
  }
}

const slash = Buffer.from("/");

function addFile(stat: BigIntStats, usage: SnapshotUsage, linked: Set<string>): void {
  if (stat.nlink > 1n) {
    const inode = `${stat.dev}:${stat.ino}`;
    if (linked.has(inode)) return;
    linked.add(inode);
  }
  count(stat, usage);
}

/** `st_blocks` is in units of 512 bytes, whatever the block size. */
function count(stat: BigIntStats, usage: SnapshotUsage): void {
  usage.size += stat.blocks * 512n;
  usage.inodes += 1n;
}
