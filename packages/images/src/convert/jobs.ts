/**
 * What is sent between the converter and its workers. Everything is plain data.
 *
 * @module
 */
import type { ErrorKind } from "@ctrd/core/errors";

/** What a layer becomes. */
export type LayerFormat = "uncompressed" | "gzip" | "zstd" | "estargz";

/** A layer to convert. */
export interface ConvertJob {
  readonly format: LayerFormat;
  /** Of the compression; the format's usual one when absent. */
  readonly level?: number;
  /** Bytes of the layer as it is stored. */
  readonly size: number;
  /** A file with the layer; its bytes are asked for in messages when absent. */
  readonly path?: string;
  /** eStargz: paths that readers fetch ahead. */
  readonly prefetch: readonly string[];
}

/** What became of a layer. The bytes themselves come in chunks. */
export interface ConvertedLayer {
  /** Digest of the uncompressed layer that went in. */
  readonly sourceDiffId: string;
  /** Digest of the uncompressed layer that came out; another one for eStargz. */
  readonly diffId: string;
  /** Bytes of the uncompressed layer that came out. */
  readonly uncompressedSize: number;
  /** eStargz: digest of the table of contents. */
  readonly tocDigest?: string;
}

/** To the worker: a job, bytes that it asked for, or the receipt of a chunk. */
export type ToWorker =
  | { type: "job"; job: ConvertJob }
  | { type: "input"; offset: number; data: Uint8Array }
  | { type: "received" };

/** From the worker: bytes that it wants, a chunk of the result, how much was read. It ends with `done` or `failed`. */
export type FromWorker =
  | { type: "read"; offset: number; length: number }
  | { type: "chunk"; data: Uint8Array<ArrayBuffer> }
  | { type: "progress"; offset: number }
  | { type: "done"; result: ConvertedLayer }
  | { type: "failed"; kind: ErrorKind; message: string };
