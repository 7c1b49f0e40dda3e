/**
 * Writing the difference between two trees as a layer.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Transform } from "node:stream";
import { canceled } from "@ctrd/core/errors";
import { AT_FDCWD, close, openat, OpenFlag } from "@ctrd/sys";
import type { Compression } from "../compression.ts";
import { createCompressor } from "../compression.ts";
import type { TreePair } from "./changes.ts";
import { changesBetween } from "./changes.ts";
import { DiffWriter } from "./diff-writer.ts";

/** What to write. */
export interface WriteDiffOptions extends TreePair {
  compression: Compression;
  /** Seconds since the epoch that no time in the result exceeds (`SOURCE_DATE_EPOCH`). */
  latestTime?: number;
  /** Polled between chunks: whether to give up. */
  isCanceled?(): boolean;
}

/** What was written. */
export interface WrittenDiff {
  /** Digest of the uncompressed tar stream. */
  diffId: string;
  /** Bytes of the uncompressed tar stream. */
  diffSize: number;
}

/** Takes a chunk of the result; the next comes when the promise resolves. A chunk is the receiver's to keep. */
export type ChunkSink = (chunk: Buffer) => void | Promise<void>;

/**
 * Writes the difference from `lower` to `upper` to `sink`. Everything but compression is synchronous: run it in a
 * worker thread.
 *
 * @throws SysError, ContainerdError `canceled`, `failed-precondition` when a file shrinks meanwhile
 */
export async function writeDiff(options: WriteDiffOptions, sink: ChunkSink): Promise<WrittenDiff> {
  const hash = createHash("sha256");
  let diffSize = 0;
  const compressor = createCompressor(options.compression);
  const output = compressor === undefined ? undefined : forward(compressor, sink);
  const upper = openat(AT_FDCWD, options.upper, OpenFlag.RdOnly | OpenFlag.Directory);
  try {
    const writer = new DiffWriter(upper, options.latestTime ?? Infinity);
    for (const chunk of writer.chunks(changesBetween(options, options.isCanceled))) {
      if (options.isCanceled?.() === true) throw canceled("write diff");
      hash.update(chunk);
      diffSize += chunk.length;
      if (compressor === undefined) await sink(chunk);
      else if (!compressor.write(chunk)) await Promise.race([once(compressor, "drain"), output]);
    }
    compressor?.end();
    await output;
  } catch (error) {
    compressor?.destroy();
    throw error;
  } finally {
    close(upper);
  }
  return { diffId: `sha256:${hash.digest("hex")}`, diffSize };
}

/** Passes on what the compressor makes, while more is written to it. */
function forward(compressor: Transform, sink: ChunkSink): Promise<void> {
  const done = (async (): Promise<void> => {
    for await (const chunk of compressor) await sink(chunk as Buffer);
  })();
  // It is awaited later; until then a failure must not count as unhandled.
  done.catch(() => {});
  return done;
}
