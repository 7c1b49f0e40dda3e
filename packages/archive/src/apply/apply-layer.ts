/**
 * Applying a layer: decompress, hash and unpack in one pass.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ErrorKind } from "@ctrd/core/errors";
import { canceled, ContainerdError, kindOf, messageOf, resourceExhausted } from "@ctrd/core/errors";
import { hasErrno } from "@ctrd/sys";
import type { Compression, LayerStream } from "../compression.ts";
import { openLayerStream } from "../compression.ts";
import { TarReader } from "../tar/reader.ts";
import { Directories } from "./directories.ts";
import { LayerWriter } from "./layer-writer.ts";
import { LowerDirectories } from "./lower-directories.ts";
import { OverlayWhiteouts, RemovingWhiteouts } from "./whiteout-target.ts";

/** What to apply where. */
export interface ApplyLayerOptions {
  /** File with the layer: tar, plain or compressed with gzip or zstd. */
  path: string;
  /** Directory to unpack into. Nothing outside it is touched. */
  root: string;
  /** `root` is the upper directory of an overlay: whiteouts become overlay's own markers. */
  overlay?: boolean;
  /** Lower directories, nearest first; directories the layer implies take their attributes from there. */
  lowers?: readonly string[];
  /** Set owners; true by default. */
  owners?: boolean;
  /** Limits against archives made to fill the disk. */
  limits?: LayerLimits;
  /** Polled between chunks: whether to give up. */
  isCanceled?(): boolean;
  /** Told after every chunk how many bytes of the uncompressed stream are done. */
  progress?(size: number): void;
  /** Told of what could not be kept, such as an unsupported extended attribute. */
  warn?(message: string): void;
}

/** Limits; absent means none. */
export interface LayerLimits {
  /** Most bytes of the uncompressed stream. */
  maxSize?: number;
  /** Most uncompressed bytes for each compressed one, once more than 64 MiB are uncompressed. */
  maxRatio?: number;
  /** Most entries. */
  maxEntries?: number;
}

/** What was applied. */
export interface AppliedLayer {
  /** Digest of the uncompressed stream. */
  digest: string;
  /** Bytes of the uncompressed stream. */
  size: number;
  compression: Compression;
  entries: number;
}

/** No ratio is meant below this. */
const ratioFloor = 64 << 20;

/**
 * Applies a layer. All calls but decompression are synchronous: run it in a worker thread. What was unpacked before a
 * failure stays.
 *
 * @throws ContainerdError `invalid-argument` naming the entry for a malformed or hostile archive, `resource-exhausted`
 * beyond a limit or on a full disk, `canceled`
 */
export async function applyLayer(options: ApplyLayerOptions): Promise<AppliedLayer> {
  const warn = options.warn ?? ((): void => {});
  const whiteouts = options.overlay === true ? new OverlayWhiteouts() : new RemovingWhiteouts();
  const lowers = new LowerDirectories(options.lowers ?? [], (name) => warn(`extended attribute ${name} not supported`));
  try {
    const directories = new Directories(options.root, {
      made: (directory) => lowers.copyTo(directory),
      isMarker: (parent, name) => whiteouts.isMarker(parent, name),
      makeOpaque: (fd) => whiteouts.makeOpaque(fd),
    });
    const owners = options.owners ?? true;
    const maxEntries = options.limits?.maxEntries ?? Infinity;
    const devices = !inUserNamespace();
    const writer = new LayerWriter({ directories, whiteouts, owners, devices, maxEntries, warn });
    try {
      return await consume(writer, options);
    } catch (error) {
      throw layerError(error, writer.current);
    } finally {
      writer.close();
      directories.close();
    }
  } finally {
    lowers.close();
  }
}

async function consume(writer: LayerWriter, options: ApplyLayerOptions): Promise<AppliedLayer> {
  const stream = openLayerStream(options.path);
  const hash = createHash("sha256");
  const reader = new TarReader(writer);
  let size = 0;
  for await (const chunk of stream) {
    if (options.isCanceled?.() === true) throw canceled("apply layer");
    size += chunk.length;
    checkLimits(options.limits, size, stream);
    hash.update(chunk);
    reader.push(chunk);
    options.progress?.(size);
  }
  reader.finish();
  writer.finish();
  const digest = `sha256:${hash.digest("hex")}`;
  return { digest, size, compression: stream.compression, entries: writer.entries };
}

function checkLimits(limits: LayerLimits | undefined, size: number, stream: LayerStream): void {
  if (limits === undefined) return;
  const { maxSize = Infinity, maxRatio = Infinity } = limits;
  if (size > maxSize) throw resourceExhausted(`layer is larger than ${maxSize} bytes uncompressed`);
  if (stream.compression !== "none" && size > ratioFloor && size > maxRatio * stream.size) {
    throw resourceExhausted(`layer of ${stream.size} bytes uncompresses to more than ${maxRatio} times as much`);
  }
}

function layerError(error: unknown, entry: string | undefined): ContainerdError {
  const where = entry === undefined ? "" : `entry ${JSON.stringify(entry)}: `;
  return new ContainerdError(failureKind(error, entry), `apply layer: ${where}${messageOf(error)}`, {
    cause: error,
  });
}

/** Names that the kernel does not take, and links to what is not there, are the archive's fault. */
function failureKind(error: unknown, entry: string | undefined): ErrorKind {
  if (hasErrno(error, "ENOSPC", "EDQUOT")) return "resource-exhausted";
  const wrong = hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ERANGE");
  return wrong && entry !== undefined ? "invalid-argument" : kindOf(error);
}

/** Whether root here is not root of the machine: its ids are mapped. */
function inUserNamespace(): boolean {
  const [map = ""] = readFileSync("/proc/self/uid_map", "utf8").split("\n");
  return map.trim().split(/\s+/).join(" ") !== "0 0 4294967295";
}
