/**
 * Images over any stores: documents, handlers, platforms, and the two ways between a remote and the stores.
 *
 * ```ts
 * const image = await pullImage(ctx, { content, images, leases, snapshotters, applier }, "docker.io/library/busybox:1", {
 *   resolver,
 *   unpack: { snapshotter: "overlayfs" },
 *   progress: ({ stage, name, offset, total }) => show(stage, name, offset, total),
 * });
 * ```
 *
 * @module
 */
export { maxDocumentBytes, readDocument } from "./blobs.ts";
export type { CommitSnapshotOptions } from "./commit.ts";
export { commitSnapshot, layerOfSnapshot } from "./commit.ts";
export type { ConvertOptions, ConvertStores } from "./convert/convert-image.ts";
export { convertImage } from "./convert/convert-image.ts";
export type { LayerFormat } from "./convert/jobs.ts";
export type { ImageDescriptor } from "./descriptors.ts";
export type { ImageRootfs, Index, Manifest } from "./documents.ts";
export { parseImageDocument, readRootfs } from "./documents.ts";
export { imageNameAnnotation, refNameAnnotation } from "./docker-archive.ts";
export type { ExportOptions } from "./export.ts";
export { exportArchive } from "./export.ts";
export type { FetchOptions } from "./fetch.ts";
export { contentName, fetchContent } from "./fetch.ts";
export type { ImageHandler, ImageHandlerWrapper } from "./handlers.ts";
export {
  addLabels,
  childLabels,
  childrenOf,
  dispatch,
  filterPlatforms,
  fittingManifests,
  limitManifests,
  setChildLabels,
} from "./handlers.ts";
export type { ImportOptions } from "./import.ts";
export { importArchive } from "./import.ts";
export {
  isConfigType,
  isEncryptedLayer,
  isForeignLayer,
  isIndexType,
  isLayerType,
  isManifestType,
  kindOfContent,
  MediaType,
} from "./media-types.ts";
export type { PlatformMatcher } from "./platforms.ts";
export {
  anyPlatform,
  formatPlatform,
  matchPlatform,
  matchPlatforms,
  normalizePlatform,
  parsePlatformText,
} from "./platforms.ts";
export type { PullOptions, PullStores } from "./pull.ts";
export { pullImage, storeImage, withTemporaryLease } from "./pull.ts";
export type { PushOptions } from "./push.ts";
export { pushContent } from "./push.ts";
export { Turns } from "./turns.ts";
export type { ArchiveLimits } from "./uncompressed.ts";
export { uncompressed } from "./uncompressed.ts";
export type { UnpackOptions } from "./unpack.ts";
export { chainIds, unpackImage, unpackLayers } from "./unpack.ts";
export { verifyImage } from "./verify.ts";
