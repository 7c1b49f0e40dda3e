/**
 * A file system that is small, and can be filled to its last byte.
 *
 * @module
 */
import { mkdir, open, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { mustRun } from "../fixtures/process.ts";

/** A mounted file system. Disposing unmounts it; the directory stays. */
export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
  /** Takes all space but `leaveBytes` (0 when absent); what was taken before is given back first. */
  fill(leaveBytes?: number): Promise<void>;
  /** Gives back what `fill` took. */
  free(): Promise<void>;
  /** Bytes that can be written. */
  available(): Promise<number>;
}

/** Mounts a tmpfs of `bytes` at `path`, which is made. Needs root. */
export async function mountSmallDisk(path: string, bytes: number): Promise<SmallDisk> {
  await mkdir(path, { recursive: true });
  await mustRun("mount", ["-t", "tmpfs", "-o", `size=${bytes},mode=0711`, "tmpfs", path]);
  const ballast = join(path, ".ballast");
  const free = (): Promise<void> => rm(ballast, { force: true });
  const available = async (): Promise<number> => {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  };
  return {
    path,
    free,
    available,
    async fill(leaveBytes = 0) {
      await free();
      // Others may write meanwhile: what is left is asked for until it is right.
      for (let left = await available(); left > leaveBytes; left = await available()) {
        await append(ballast, left - leaveBytes);
      }
    },
    async [Symbol.asyncDispose]() {
      await mustRun("umount", [path]);
    },
  };
}

async function append(path: string, bytes: number): Promise<void> {
  const file = await open(path, "a");
  try {
    const chunk = Buffer.alloc(1 << 20);
    for (let left = bytes; left > 0;) {
      const { bytesWritten } = await file.write(chunk, 0, Math.min(left, chunk.length));
      left -= bytesWritten;
    }
  } catch (error) {
    // Somebody else took the rest: that is full too.
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  } finally {
    await file.close();
  }
}
