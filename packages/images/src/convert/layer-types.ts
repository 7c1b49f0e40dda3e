/**
 * Media types before and after. Pure.
 *
 * @module
 */
import { isForeignLayer, isLayerType, MediaType } from "../media-types.ts";
import type { LayerFormat } from "./jobs.ts";

const dockerLayer = "application/vnd.docker.image.rootfs.diff.tar";
const dockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar";
const ociForeignLayer = "application/vnd.oci.image.layer.nondistributable.v1.tar";

const ociTypes: ReadonlyMap<string, string> = new Map([
  [MediaType.DockerList, MediaType.OciIndex],
  [MediaType.DockerManifest, MediaType.OciManifest],
  [MediaType.DockerConfig, MediaType.OciConfig],
  [dockerLayer, MediaType.OciLayer],
  [`${dockerLayer}.gzip`, MediaType.OciLayerGzip],
  [`${dockerLayer}.zstd`, MediaType.OciLayerZstd],
  [dockerForeignLayer, ociForeignLayer],
  [`${dockerForeignLayer}.gzip`, `${ociForeignLayer}+gzip`],
]);

/** OCI's name for one of Docker's types; others stay. */
export function ociTypeOf(mediaType: string): string {
  return ociTypes.get(mediaType) ?? mediaType;
}

/** Whether a layer can be converted: it may be stored elsewhere, and what is encrypted cannot be read. */
export function isConvertible(mediaType: string): boolean {
  return isLayerType(mediaType) && !isForeignLayer(mediaType) && !mediaType.includes("+encrypted");
}

/** The compression that a layer's type names. */
export function compressionOf(mediaType: string): "uncompressed" | "gzip" | "zstd" {
  if (/[+.]gzip$/.test(mediaType)) return "gzip";
  return /[+.]zstd$/.test(mediaType) ? "zstd" : "uncompressed";
}

/** The type of a layer once it is converted. Docker has none for zstd that others than containerd know. */
export function layerTypeFor(mediaType: string, format: LayerFormat): string {
  const suffix = format === "estargz" ? "gzip" : format;
  const isDocker = mediaType.startsWith(dockerLayer) && suffix !== "zstd";
  const base = isDocker ? dockerLayer : MediaType.OciLayer;
  if (suffix === "uncompressed") return base;
  return `${base}${isDocker ? "." : "+"}${suffix}`;
}
