/** A thread that copies what an image has at the paths of its volumes. */
import { createWriteStream, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { workerData } from "node:worker_threads";
import { applyLayer, writeDiff } from "@ctrd/archive";
import {
  AT_FDCWD,
  close,
  fchmod,
  fchown,
  fstatat,
  AtFlag,
  hasErrno,
  openat,
  openat2,
  OpenFlag,
  ResolveFlag,
} from "@ctrd/sys";

/** What the thread is given. */
export interface VolumeCopies {
  /** Where the root file system is mounted. */
  readonly rootfs: string;
  readonly volumes: readonly { readonly containerPath: string; readonly hostPath: string }[];
}

const directoryFlags = OpenFlag.RdOnly | OpenFlag.Directory;

async function copyAll({ rootfs, volumes }: VolumeCopies): Promise<void> {
  const root = openat(AT_FDCWD, rootfs, directoryFlags);
  try {
    for (const { containerPath, hostPath } of volumes) {
      const source = openInside(root, containerPath);
      if (source === undefined) continue;
      try {
        await copy(source, hostPath);
      } finally {
        close(source);
      }
    }
  } finally {
    close(root);
  }
}

/** The directory in the image; undefined when there is none. Links stay inside the root (CVE-2022-23648). */
function openInside(root: number, path: string): number | undefined {
  try {
    return openat2(root, path, directoryFlags, 0, ResolveFlag.InRoot);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function copy(source: number, target: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "ctrd-volume-"));
  try {
    const [empty, tar] = [join(scratch, "empty"), join(scratch, "volume.tar")];
    mkdirSync(empty);
    const file = createWriteStream(tar);
    await writeDiff({ lower: empty, upper: `/proc/self/fd/${source}`, compression: "none" }, async (chunk) => {
      if (!file.write(chunk)) await once(file, "drain");
    });
    file.end();
    await once(file, "close");
    await applyLayer({ path: tar, root: target });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  const { uid, gid, mode } = fstatat(source, "", AtFlag.EmptyPath);
  const directory = openat(AT_FDCWD, target, directoryFlags);
  try {
    fchown(directory, uid, gid);
    fchmod(directory, mode & 0o7777);
  } finally {
    close(directory);
  }
}

await copyAll(workerData as VolumeCopies);
