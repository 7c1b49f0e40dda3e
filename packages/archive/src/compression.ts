/**
 * Opening compressed layers and compressing new ones. Decompression runs in the thread pool, so that it overlaps with
 * what the caller does with the bytes before.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { accessSync, closeSync, constants, createReadStream, fstatSync, openSync, readSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream";
import { createGunzip, createGzip, createZstdCompress, createZstdDecompress } from "node:zlib";
import { messageOf } from "@ctrd/core/errors";
import { invalidArchive } from "./tar/invalid-archive.ts";

/** How a layer is compressed. */
export type Compression = "none" | "gzip" | "zstd";

/** Bytes handled at a time. */
const chunkSize = 1 << 20;
/** Chunks that may wait, so that decompression goes on while one is being used. */
const chunksAhead = 3;
/** Starting a helper takes longer than decompressing less than this. */
const helperMinimum = 8 << 20;

/** Tells the compression by the first bytes. */
export function detectCompression(start: Uint8Array): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b && start[2] === 0x08) return "gzip";
  const zstd = start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd;
  const skippable = ((start[0] ?? 0) & 0xf0) === 0x50 && start[1] === 0x2a && start[2] === 0x4d && start[3] === 0x18;
  return zstd || skippable ? "zstd" : "none";
}

/** An open layer. Iterate it once; iteration closes it. */
export interface LayerStream extends AsyncIterable<Buffer> {
  readonly compression: Compression;
  /** Size of the blob in bytes. */
  readonly size: number;
}

/**
 * Opens the blob at `path`. Members of a gzip file and frames of a zstd file follow each other as one stream.
 * A chunk is valid until the next is asked for.
 *
 * Iterating throws ContainerdError `invalid-argument` for damaged or truncated compression.
 */
export function openLayerStream(path: string): LayerStream {
  const fd = openSync(path, "r");
  try {
    const start = Buffer.alloc(4);
    readSync(fd, start, 0, 4, 0);
    const compression = detectCompression(start);
    const { size } = fstatSync(fd);
    return {
      compression,
      size,
      [Symbol.asyncIterator]: () => (compression === "none" ? readPlain(fd) : readCompressed(fd, compression, size)),
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

async function* readPlain(fd: number): AsyncGenerator<Buffer> {
  try {
    const buffer = Buffer.allocUnsafeSlow(chunkSize);
    for (;;) {
      const length = readSync(fd, buffer, 0, buffer.length, null);
      if (length === 0) return;
      yield buffer.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}

async function* readCompressed(fd: number, compression: Compression, size: number): AsyncGenerator<Buffer> {
  const helper = compression === "gzip" && size >= helperMinimum ? findIgzip() : undefined;
  if (helper !== undefined) {
    yield* readThroughHelper(fd, helper);
    return;
  }
  const options = { chunkSize, readableHighWaterMark: chunksAhead * chunkSize };
  const decompressor: Transform = compression === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  const source = createReadStream("", { fd, autoClose: true, highWaterMark: chunkSize });
  let failure: Error | undefined;
  pipeline(source, decompressor, (error) => {
    failure = error ?? undefined;
  });
  try {
    yield* decompressor as AsyncIterable<Buffer>;
  } catch (error) {
    throw invalidArchive(`${compression}: ${messageOf(failure ?? error)}`, failure ?? error);
  } finally {
    decompressor.destroy();
    source.destroy();
  }
}

/** Path of igzip, which decompresses faster than zlib, unless `CONTAINERD_DISABLE_IGZIP` is set. */
function findIgzip(): string | undefined {
  if ((process.env.CONTAINERD_DISABLE_IGZIP ?? "") !== "") return undefined;
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((directory) => join(directory, "igzip"))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Absent or not executable: either way it is not used.
    return false;
  }
}

async function* readThroughHelper(fd: number, helper: string): AsyncGenerator<Buffer> {
  const child = spawn(helper, ["-d", "-c"], { stdio: [fd, "pipe", "pipe"] });
  closeSync(fd);
  const ended = new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(code === 0 ? undefined : `exited with ${code ?? signal}`));
  });
  let complaint = "";
  child.stderr?.on("data", (data: Buffer) => {
    complaint = (complaint + data.toString()).slice(0, 1000);
  });
  try {
    yield* child.stdout as Readable as AsyncIterable<Buffer>;
    const failure = await ended;
    if (failure !== undefined) throw invalidArchive(`igzip ${failure}: ${complaint.trim()}`);
  } finally {
    child.kill();
  }
}

/** A stream that compresses; `undefined` for none. */
export function createCompressor(compression: Compression): Transform | undefined {
  if (compression === "gzip") return createGzip({ chunkSize });
  if (compression === "zstd") return createZstdCompress({ chunkSize });
  return undefined;
}
