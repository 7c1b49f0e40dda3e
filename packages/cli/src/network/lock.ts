/**
 * Locks between processes.
 *
 * @module
 */
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { flock, hasErrno, LockOperation } from "@ctrd/sys";

const pauseMs = 10;

/** Runs `body` while no other process has the lock of this file. It ends with the process in any case. */
export async function withLock<T>(path: string, body: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, "a", 0o600);
  try {
    while (!tryLock(file.fd)) await sleep(pauseMs);
    return await body();
  } finally {
    await file.close();
  }
}

function tryLock(fd: number): boolean {
  try {
    flock(fd, LockOperation.Exclusive | LockOperation.NonBlocking);
    return true;
  } catch (error) {
    if (hasErrno(error, "EAGAIN")) return false;
    throw error;
  }
}
