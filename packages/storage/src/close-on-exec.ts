import { fstatSync, readdirSync, statSync } from "node:fs";
import { errnoOf } from "@ctrd/core/errors";
import { setCloseOnExec } from "@ctrd/sys";

/**
 * Marks this process's descriptors of the file `path` close-on-exec. LMDB opens its data file without that flag, so
 * every shim and every container started afterwards would inherit the database.
 */
export function closeOnExec(path: string): void {
  const file = statSync(path, { bigint: true });
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (isSameFile(fd, file)) setCloseOnExec(fd);
  }
}

function isSameFile(fd: number, file: { dev: bigint; ino: bigint }): boolean {
  try {
    const stat = fstatSync(fd, { bigint: true });
    return stat.ino === file.ino && stat.dev === file.dev;
  } catch (error) {
    // Closed since the directory was read: the descriptor that read it, or one of another thread.
    if (errnoOf(error) === "EBADF") return false;
    throw error;
  }
}
