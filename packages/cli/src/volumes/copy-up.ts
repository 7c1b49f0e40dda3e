/**
 * Filling a new volume with what the image has in its place. The path is the image's author's word: links and `..` in it
 * stay inside the image (CVE-2022-23648).
 *
 * @module
 */
import { chmodSync, chownSync, fstatSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { errnoOf } from "@ctrd/core/errors";
import { copyTree } from "@ctrd/snapshot-native";
import { AT_FDCWD, close, openat, openat2, OpenFlag, ResolveFlag, syncfs, workerExecArgv } from "@ctrd/sys";

/** What is copied where. */
export interface CopyUp {
  /** The mounted root file system of a container that does not run. */
  readonly rootfs: string;
  /** Path in it. */
  readonly path: string;
  /** The empty directory of the volume. */
  readonly data: string;
}

/** What the worker of {@link copyUp} is given; the number in shared memory becomes 1 when it is to stop. */
export interface CopyUpTask extends CopyUp {
  readonly cancelled: Int32Array;
}

/** {@link fillVolume} in a worker thread, until `signal` aborts. */
export async function copyUp(copy: CopyUp, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const cancelled = new Int32Array(new SharedArrayBuffer(4));
  const cancel = (): void => void Atomics.store(cancelled, 0, 1);
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const execArgv = workerExecArgv();
  const worker = new Worker(new URL(`./copy-up-worker.${extension}`, import.meta.url), {
    workerData: { ...copy, cancelled } satisfies CopyUpTask,
    ...(execArgv === undefined ? {} : { execArgv }),
  });
  signal.addEventListener("abort", cancel, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      worker.once("error", (error) => reject(error instanceof Error ? error : new Error(String(error))));
      worker.once("exit", () => resolve());
    });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/**
 * Copies the directory `path` of the image into the volume, with the owner and the mode of the directory itself, and
 * flushes it. A path that the image does not have, or that is no directory there, leaves the volume empty.
 */
export function fillVolume({ rootfs, path, data }: CopyUp, checkCancelled: () => void = () => {}): void {
  const source = openDirectory(rootfs, path);
  if (source === undefined) return;
  // Beside the volume's own directory: what was broken off is not seen in it.
  const copy = mkdtempSync(join(data, "../.copy-"));
  try {
    copyTree(`/proc/self/fd/${source}/.`, copy, checkCancelled);
    const { uid, gid, mode } = fstatSync(source);
    for (const name of readdirSync(copy, { encoding: "buffer" })) {
      renameSync(Buffer.concat([Buffer.from(`${copy}/`), name]), Buffer.concat([Buffer.from(`${data}/`), name]));
    }
    chownSync(data, uid, gid);
    chmodSync(data, mode & 0o7777);
    flush(data);
  } finally {
    close(source);
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Opens a directory of a root file system without leaving that. */
function openDirectory(rootfs: string, path: string): number | undefined {
  const root = openat(AT_FDCWD, rootfs, OpenFlag.Path | OpenFlag.Directory);
  try {
    const inRoot = ResolveFlag.InRoot | ResolveFlag.NoMagiclinks;
    return openat2(root, path, OpenFlag.Path | OpenFlag.Directory, 0, inRoot);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  } finally {
    close(root);
  }
}

function flush(directory: string): void {
  const fd = openat(AT_FDCWD, directory, OpenFlag.RdOnly | OpenFlag.Directory);
  try {
    syncfs(fd);
  } finally {
    close(fd);
  }
}
