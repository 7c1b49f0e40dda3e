/**
 * The file system of a container: of one that runs through its process, of one that does not by mounting its snapshot
 * for the time. On the daemon's machine, as root.
 *
 * @module
 */
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Container } from "@ctrd/client";
import type { Mount } from "@ctrd/core/records";
import {
  AT_FDCWD,
  CloneFlag,
  close,
  hasErrno,
  mount,
  mountAll,
  MountFlag,
  openat,
  OpenFlag,
  unmount,
  UnmountFlag,
  unshare,
} from "@ctrd/sys";
import { stateOf } from "../containers/state.ts";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import type { Tree } from "./tree.ts";

const rootFlags = OpenFlag.Path | OpenFlag.Directory;

/** Runs `body` with the root of a container. */
export async function withContainerRoot<T>(
  session: Session,
  container: Container,
  body: (tree: Tree) => Promise<T>,
): Promise<T> {
  const { pid } = await stateOf(session, container);
  if (pid > 0) return withRootOf(session, container, pid, body);
  const { snapshotter, snapshotKey } = container.record;
  if (snapshotKey === "") throw new CommandFailure(`container "${container.id}" has no snapshot, and does not run`);
  const mounts = await session.snapshotters.get(snapshotter).mounts(session.ctx, snapshotKey);
  return withMounts(mounts, (fd) => body({ fd, trusted: false }));
}

async function withRootOf<T>(
  session: Session,
  container: Container,
  pid: number,
  body: (tree: Tree) => Promise<T>,
): Promise<T> {
  const fd = openRoot(container.id, pid);
  try {
    // The number may have gone to another process before it was opened, but not while its own still runs.
    if ((await stateOf(session, container)).pid !== pid) {
      throw new CommandFailure(`container "${container.id}" has just ended`, { remedy: "try again" });
    }
    return await body({ fd, trusted: false });
  } finally {
    close(fd);
  }
}

function openRoot(id: string, pid: number): number {
  try {
    return openat(AT_FDCWD, `/proc/${pid}/root`, rootFlags);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) {
      throw new CommandFailure(`the process of container "${id}" is not on this machine, or has just ended`, {
        remedy: "run this on the daemon's machine",
        cause: error,
      });
    }
    if (!hasErrno(error, "EACCES", "EPERM")) throw error;
    throw new CommandFailure(`you may not look into container "${id}"`, { remedy: "run this as root", cause: error });
  }
}

let isPrivate = false;

/**
 * Runs `body` with a directory in which `mounts` are performed: in a mount namespace of this process, so that nobody
 * else sees them, and that nothing of them stays should it be killed.
 */
export async function withMounts<T>(mounts: readonly Mount[], body: (fd: number) => Promise<T>): Promise<T> {
  if (!isPrivate) {
    unshare(CloneFlag.NewNs);
    mount("none", "/", "", MountFlag.Rec | MountFlag.Private);
    isPrivate = true;
  }
  const directory = mkdtempSync(join(tmpdir(), "ctrd-mount-"));
  try {
    mountAll(mounts, directory);
    try {
      const fd = openat(AT_FDCWD, directory, rootFlags);
      try {
        return await body(fd);
      } finally {
        close(fd);
      }
    } finally {
      unmount(directory, UnmountFlag.Detach);
    }
  } finally {
    rmdirSync(directory);
  }
}
