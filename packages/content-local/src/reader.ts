/**
 * Reading a blob.
 *
 * @module
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import type { ContentReader } from "@ctrd/core/content";
import { errnoOf, notFound, outOfRange } from "@ctrd/core/errors";

/**
 * Blobs up to this many bytes are read when they are opened: manifests and configurations, of which a client reads a
 * dozen to create one container. Four calls to the thread pool would take ten times as long as the reading.
 */
const smallBlob = 64 << 10;

/** Opens the blob file at `path`. @throws ContainerdError `not-found` naming `digest` */
export async function openReader(path: string, digest: string): Promise<ContentReader> {
  try {
    const bytes = readSmall(path);
    return bytes === undefined ? await openLarge(path, digest) : memoryReader(path, digest, bytes);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") throw notFound(`content ${digest}`, { cause: error });
    throw error;
  }
}

/** Content of a small blob; undefined when it is larger. */
function readSmall(path: string): Buffer | undefined {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    if (size > smallBlob) return undefined;
    const bytes = Buffer.allocUnsafe(size);
    let done = 0;
    while (done < size) {
      const count = readSync(fd, bytes, done, size - done, done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  } finally {
    closeSync(fd);
  }
}

function memoryReader(path: string, digest: string, bytes: Buffer): ContentReader {
  const size = BigInt(bytes.length);
  return {
    size,
    path,
    read: async (offset, length) => {
      const start = Number(offset);
      // A copy: what is returned belongs to the caller.
      return Buffer.from(bytes.subarray(start, start + wantedLength(digest, size, offset, length)));
    },
    close: () => Promise.resolve(),
  };
}

/** Bytes there are of the `length` that are asked for. */
function wantedLength(digest: string, size: bigint, offset: bigint, length: number): number {
  if (offset < 0n) throw outOfRange(`read content ${digest}: offset ${offset} is negative`);
  return Math.min(length, offset >= size ? 0 : Number(size - offset));
}

async function openLarge(path: string, digest: string): Promise<ContentReader> {
  const file: FileHandle = await open(path, "r");
  let size: bigint;
  try {
    ({ size } = await file.stat({ bigint: true }));
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    size,
    path,
    async read(offset, length, buffer) {
      const wanted = wantedLength(digest, size, offset, length);
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
