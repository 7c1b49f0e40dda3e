/**
 * Opening compressed layers and compressing new ones. Decompression runs in the thread pool, so that it overlaps with
 * what the caller does with the bytes before.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { accessSync, closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream";
import { createGunzip, createGzip, createZstdCompress, createZstdDecompress, zstdDecompressSync } from "node:zlib";
import { messageOf } from "@ctrd/core/errors";
import { invalidArchive } from "./tar/invalid-archive.ts";
import { zstdFrames } from "./zstd-frames.ts";

/** How a layer is compressed. */
export type Compression = "none" | "gzip" | "zstd";

/** Bytes handled at a time. */
const chunkSize = 1 << 20;
/** Chunks that may wait, so that decompression goes on while one is being used. */
const chunksAhead = 3;
/** Starting a helper takes longer than decompressing less than this. */
const helperMinimum = 8 << 20;
/** Frames of zstd up to this are decompressed at once, if they then are not larger than the other. */
const smallFrame = 256 << 10;
const largestSmallFrame = 4 << 20;

const streamOptions = { chunkSize, readableHighWaterMark: chunksAhead * chunkSize };

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

async function* readCompressed(fd: number, compression: "gzip" | "zstd", size: number): AsyncGenerator<Buffer> {
  try {
    const helper = compression === "gzip" && size >= helperMinimum ? findIgzip() : undefined;
    if (helper !== undefined) yield* readThroughHelper(fd, helper);
    // Members of a gzip file are read as one by zlib itself.
    else if (compression === "gzip") yield* decompress(fd, 0, size, createGunzip(streamOptions), compression);
    else yield* readZstd(fd, size);
  } finally {
    closeSync(fd);
  }
}

async function* readZstd(fd: number, size: number): AsyncGenerator<Buffer> {
  for (const { start, end, skippable } of zstdFrames(fd, size)) {
    if (skippable) continue;
    const whole = end - start <= smallFrame ? decompressSmall(fd, start, end) : undefined;
    if (whole !== undefined) yield whole;
    else yield* decompress(fd, start, end, createZstdDecompress(streamOptions), "zstd");
  }
}

/** A frame at once: layers with a frame for each file have ten thousands. `undefined` when it becomes too large. */
function decompressSmall(fd: number, start: number, end: number): Buffer | undefined {
  const frame = Buffer.allocUnsafe(end - start);
  const length = readSync(fd, frame, 0, frame.length, start);
  try {
    return zstdDecompressSync(frame.subarray(0, length), { maxOutputLength: largestSmallFrame });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw invalidArchive(`zstd: ${messageOf(error)}`, error);
  }
}

async function* decompress(
  fd: number,
  start: number,
  end: number,
  decompressor: Transform,
  name: string,
): AsyncGenerator<Buffer> {
  let failure: Error | undefined;
  pipeline(pieces(fd, start, end), decompressor, (error) => {
    failure = error ?? undefined;
  });
  try {
    yield* decompressor as AsyncIterable<Buffer>;
  } catch (error) {
    throw invalidArchive(`${name}: ${messageOf(failure ?? error)}`, failure ?? error);
  } finally {
    decompressor.destroy();
  }
}

/** Bytes of the blob. Read here and not in the thread pool, so that no read is under way when the file is closed. */
function* pieces(fd: number, start: number, end: number): Generator<Buffer> {
  let at = start;
  while (at < end) {
    const piece = Buffer.allocUnsafeSlow(Math.min(chunkSize, end - at));
    const length = readSync(fd, piece, 0, piece.length, at);
    if (length === 0) return;
    at += length;
    yield piece.subarray(0, length);
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
