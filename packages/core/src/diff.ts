/**
 * Differs: apply a layer to mounts, and compute a layer from two sets of mounts.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Any, Descriptor, Labels, Mount, Timestamp } from "./records.ts";

export const DiffPlugin: PluginType<Differ> = pluginType("io.containerd.differ.v1");

/** A program that layers of some media types are passed through, `[stream_processors]` of the configuration. */
export interface StreamProcessor {
  readonly id: string;
  /** Media types that it reads. */
  readonly accepts: readonly string[];
  /** Media type of what it writes. */
  readonly returns: string;
  readonly path: string;
  readonly args: readonly string[];
  /** Added to the environment: `NAME=value`. */
  readonly env: readonly string[];
}

export interface ApplyOptions {
  /** Payloads for stream processors, by their ids. */
  payloads?: Map<string, Any>;
  /** Flush the file system before returning. */
  syncFs?: boolean;
}

export interface CompareOptions {
  /** Media type of the result; OCI tar+gzip by default. */
  mediaType?: string;
  /** Ingest ref for the result; a random one by default. */
  reference?: string;
  /** Labels of the resulting blob. */
  labels?: Labels;
  /** Caps file times in the result. */
  sourceDateEpoch?: Timestamp;
}

/** Applies layers. */
export interface Applier {
  /**
   * Applies the layer `diff` (a blob of the content store) to `mounts`.
   *
   * @returns media type, digest and size of the uncompressed stream
   * @throws `not-implemented` for a media type it does not read, so that another differ can be asked
   */
  apply(ctx: CallContext, diff: Descriptor, mounts: readonly Mount[], options?: ApplyOptions): Promise<Descriptor>;
}

/** Computes layers. */
export interface Comparer {
  /**
   * Stores the difference from `lower` to `upper` as a blob.
   *
   * @throws `not-implemented` for a media type it does not write
   */
  compare(
    ctx: CallContext,
    lower: readonly Mount[],
    upper: readonly Mount[],
    options?: CompareOptions,
  ): Promise<Descriptor>;
}

export interface Differ extends Applier, Comparer {}
