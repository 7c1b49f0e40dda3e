import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContentReader, ContentStore } from "@ctrd/core/content";
import { createContext } from "@ctrd/core/context";
import { notFound } from "@ctrd/core/errors";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EncodedMessage } from "../rpc/index.ts";
import { ReadContentResponse } from "@ctrd/api/services/content/v1/content";
import { IdleReaders } from "./idle-readers.ts";
import { readContent } from "./read.ts";

const ctx = createContext({ namespace: "default" });
const data = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => (i * 7) % 253));
const piece = 32_768;

let directory: string;
let opened = 0;
let closed = 0;
let reads = 0;
let exists = true;

/** A store of one blob in a file, as the local store has it. */
function fileStore(path: string): ContentStore {
  return {
    async info() {
      if (!exists) throw notFound("content");
      return {};
    },
    async reader(): Promise<ContentReader> {
      opened++;
      const file: FileHandle = await open(path);
      return {
        size: BigInt(data.length),
        path,
        async read(offset, length, buffer = Buffer.alloc(length)) {
          reads++;
          const { bytesRead } = await file.read(buffer, 0, length, Number(offset));
          return buffer.subarray(0, bytesRead);
        },
        async close() {
          closed++;
          await file.close();
        },
      };
    },
  } as unknown as ContentStore;
}

async function readPiece(readers: IdleReaders, offset: number, size: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const request = { digest: "d", offset: BigInt(offset), size: BigInt(size) };
  for await (const message of readContent(readers, ctx, request)) {
    // What the server does: take the bytes, then say that they have left.
    const { bytes, onSent }: EncodedMessage = message;
    parts.push(Buffer.from(ReadContentResponse.decode(bytes).data));
    onSent?.();
  }
  return Buffer.concat(parts);
}

let readers: IdleReaders;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-readers-"));
  await writeFile(join(directory, "blob"), data);
  opened = closed = reads = 0;
  exists = true;
  readers = new IdleReaders(fileStore(join(directory, "blob")));
});
afterEach(async () => {
  await expect.poll(() => closed).toBe(opened);
  await rm(directory, { recursive: true });
});

describe("reading a blob in pieces", () => {
  it("opens it once, and asks the disk once for several small pieces", async () => {
    const pieces: Buffer[] = [];
    for (let at = 0; at < data.length; at += piece) pieces.push(await readPiece(readers, at, piece));
    expect(Buffer.concat(pieces).equals(data)).toBe(true);
    expect(opened).toBe(1);
    expect(reads).toBeLessThan(8);
    // The last piece reached the end, so nobody waits for another.
    expect(closed).toBe(1);
  });

  it("reads pieces in any order and size", async () => {
    for (const [offset, size] of [
      [900_000, 10],
      [5, 5],
      [0, 100_000],
      [500_000, 70_000],
      [4, 300_000],
      [999_990, 5],
    ] as const) {
      expect((await readPiece(readers, offset, size)).equals(data.subarray(offset, offset + size))).toBe(true);
    }
    expect(opened).toBe(1);
  });

  it("closes at once what was read to its end, and later what was left in the middle", async () => {
    await readPiece(readers, 0, 0);
    expect(closed).toBe(1);
    await readPiece(readers, 0, 10);
    expect(closed).toBe(1);
    await expect.poll(() => closed).toBe(2);
  });

  it("notices a delete between pieces", async () => {
    await readPiece(readers, 0, 10);
    exists = false;
    await expect(readPiece(readers, 10, 10)).rejects.toMatchObject({ kind: "not-found" });
  });

  it("gives concurrent calls readers of their own", async () => {
    const all = await Promise.all([0, 1, 2, 3].map((i) => readPiece(readers, i * 200_000, 200_000)));
    expect(Buffer.concat(all).equals(data.subarray(0, 800_000))).toBe(true);
    expect(opened).toBe(4);
  });
});
