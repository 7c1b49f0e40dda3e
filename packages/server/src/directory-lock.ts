import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, failedPrecondition } from "@ctrd/core/errors";
import { flock, hasErrno, LockOperation } from "@ctrd/sys";

/** Name of the lock file; it holds the pid of the daemon that has the lock. */
export const lockFileName = "ctrd.lock";

/**
 * Takes a directory for this process. The kernel gives the lock back when the process ends, however it ends.
 *
 * @param key the configuration key of the directory, for the message
 * @returns the function that gives the lock back
 * @throws ContainerdError `failed-precondition` naming the pid that has it
 */
export function lockDirectory(key: string, directory: string): () => void {
  const path = join(directory, lockFileName);
  let fd: number;
  try {
    fd = openSync(path, "a+", 0o600);
  } catch (error) {
    throw failedPrecondition(`open lock ${path}: ${errnoOf(error) ?? String(error)}`, { cause: error });
  }
  try {
    flock(fd, LockOperation.Exclusive | LockOperation.NonBlocking);
  } catch (error) {
    closeSync(fd);
    if (!hasErrno(error, "EAGAIN", "EWOULDBLOCK")) throw error;
    const pid = readFileSync(path, "utf8").trim() || "unknown";
    throw failedPrecondition(
      `${key} directory ${directory} is in use by the ctrd with pid ${pid}; stop it, or set another ${key}`,
    );
  }
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`, 0);
  return () => closeSync(fd);
}
