/**
 * A block device whose writes are put down: a loop device on a file of a FUSE file system of our own. Where the kernel has
 * neither dm-log-writes nor nbd, this is the one way to see every write and every flush in order.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { mustRun, nodeBinary } from "@ctrd/testkit/fixtures";

/** A file system on such a device. */
export interface RecordedDisk {
  /** Its log, for `WriteLog`. */
  readonly log: string;
  /** Puts `text` into the log, after everything that was written before the call. */
  mark(text: string): void;
  /** Unmounts and ends everything. What the daemon has not synced is written then, and put down too. */
  close(): Promise<void>;
}

/** Makes an ext4 of `bytes`, mounted at `mountPoint`. @param directory an empty one, for log and content */
export async function recordDisk(directory: string, mountPoint: string, bytes: number): Promise<RecordedDisk> {
  const fuse = join(directory, "fuse");
  const log = join(directory, "log");
  await mkdir(fuse);
  const server = await serveDisk([fuse, join(directory, "content"), log, String(bytes)]);
  const undo: (() => Promise<unknown>)[] = [
    async () => {
      await mustRun("umount", [fuse]);
      if (server.exitCode === null) await once(server, "exit");
      await rm(join(directory, "content"));
    },
  ];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const device = (await mustRun("losetup", ["--find", "--show", join(fuse, "disk")])).stdout.trim();
    undo.push(() => mustRun("losetup", ["--detach", device]));
    await mustRun("mkfs.ext4", ["-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", device]);
    await mustRun("mount", [device, mountPoint]);
    undo.push(() => mustRun("umount", [mountPoint]));
  } catch (error) {
    await close();
    throw error;
  }
  return { log, close, mark: (text) => writeFileSync(join(fuse, "mark"), text) };
}

/** @param args of `disk-server.ts` */
async function serveDisk(args: readonly string[]): Promise<ChildProcess> {
  const program = fileURLToPath(new URL("disk-server.ts", import.meta.url));
  const flags = ["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning", program];
  const server = spawn(nodeBinary(), [...flags, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let complaint = "";
  server.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
  await Promise.race([
    once(server.stdout, "data"),
    once(server, "exit").then(() => Promise.reject(new Error(`the disk server ended: ${complaint}`))),
  ]);
  return server;
}
