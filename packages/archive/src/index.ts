/**
 * Layer tars: applying them and making them. For worker threads: everything but (de)compression is synchronous.
 *
 * ```ts
 * const { digest } = await applyLayer({ path: "layer.tar.gz", root: "/var/lib/x/rootfs" });
 * const { diffId } = await writeDiff({ lower: "/a", upper: "/b", compression: "gzip" }, (chunk) => file.write(chunk));
 * ```
 *
 * @module
 */
export type { AppliedLayer, ApplyLayerOptions, LayerLimits } from "./apply/apply-layer.ts";
export { applyLayer } from "./apply/apply-layer.ts";
export type { TreeWriter, TreeWriterOptions } from "./apply/tree-writer.ts";
export { openTreeWriter } from "./apply/tree-writer.ts";
export type { Compression } from "./compression.ts";
export { detectCompression } from "./compression.ts";
export type { TreePair } from "./diff/changes.ts";
export type { ChunkSink, WriteDiffOptions, WrittenDiff } from "./diff/write-diff.ts";
export { writeDiff } from "./diff/write-diff.ts";
export type { TarEntry, TarEntryType } from "./tar/entry.ts";
export type { TarSink } from "./tar/reader.ts";
export { TarReader } from "./tar/reader.ts";
export { endOfArchive, formatHeader, padding } from "./tar/writer.ts";
