/**
 * A thread that hashes files.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { parentPort } from "node:worker_threads";

/** A file to hash. */
export interface HashRequest {
  readonly path: string;
  readonly algorithm: string;
}

/** `hex` is undefined when the file is gone. */
export interface HashReply {
  readonly path: string;
  readonly hex?: string;
  readonly error?: unknown;
}

const chunk = Buffer.allocUnsafeSlow(1 << 20);

parentPort?.on("message", ({ path, algorithm }: HashRequest) => parentPort?.postMessage(hash(path, algorithm)));

function hash(path: string, algorithm: string): HashReply {
  try {
    const fd = openSync(path, "r");
    try {
      const sum = createHash(algorithm);
      for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk)) sum.update(chunk.subarray(0, read));
      return { path, hex: sum.digest("hex") };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return { path };
    return { path, error };
  }
}
