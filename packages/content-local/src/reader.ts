/**
 * Reading a blob.
 *
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import type { ContentReader } from "@ctrd/core/content";
import { errnoOf, notFound, outOfRange } from "@ctrd/core/errors";

/** Opens the blob file at `path`. @throws ContainerdError `not-found` naming `digest` */
export async function openReader(path: string, digest: string): Promise<ContentReader> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") throw notFound(`content ${digest}`, { cause: error });
    throw error;
  }
  const { size } = await file.stat({ bigint: true });
  return {
    size,
    path,
    async read(offset, length, buffer) {
      if (offset < 0n) throw outOfRange(`read content ${digest}: offset ${offset} is negative`);
      const left = offset >= size ? 0 : Number(size - offset);
      const wanted = Math.min(length, left);
      const target = buffer !== undefined && buffer.length >= wanted ? buffer : Buffer.allocUnsafe(wanted);
      let done = 0;
      while (done < wanted) {
        const { bytesRead } = await file.read(target, done, wanted - done, Number(offset) + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return target.subarray(0, done);
    },
    close: () => file.close(),
  };
}
