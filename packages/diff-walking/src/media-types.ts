/**
 * Media types of layers: which are read, which are written. Pure.
 *
 * @module
 */
import { notImplemented } from "@ctrd/core/errors";
import type { Compression } from "@ctrd/archive";

/** Media type of a plain OCI layer. */
export const layerTar = "application/vnd.oci.image.layer.v1.tar";
/** What compare writes by default. */
export const layerTarGzip = "application/vnd.oci.image.layer.v1.tar+gzip";

const readable: readonly RegExp[] = [
  /^application\/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+(?:gzip|zstd))?$/,
  /^application\/vnd\.docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.(?:gzip|zstd))?$/,
];

const writable: ReadonlyMap<string, Compression> = new Map([
  [layerTar, "none"],
  [layerTarGzip, "gzip"],
  ["application/vnd.oci.image.layer.v1.tar+zstd", "zstd"],
]);

/**
 * Whether layers of a media type are read as they are. How one is really compressed is told by its first bytes:
 * registries hold layers whose type says otherwise.
 */
export function isReadable(mediaType: string): boolean {
  return readable.some((pattern) => pattern.test(mediaType));
}

/** Compression of a layer to write. @throws ContainerdError `not-implemented` */
export function writableCompression(mediaType: string): Compression {
  const compression = writable.get(mediaType);
  if (compression === undefined) throw notImplemented(`write layer of media type "${mediaType}"`);
  return compression;
}
