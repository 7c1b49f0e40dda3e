/**
 * Media types of images, OCI's and Docker's.
 *
 * @module
 */
export const MediaType = {
  OciIndex: "application/vnd.oci.image.index.v1+json",
  OciManifest: "application/vnd.oci.image.manifest.v1+json",
  OciConfig: "application/vnd.oci.image.config.v1+json",
  OciLayer: "application/vnd.oci.image.layer.v1.tar",
  OciLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  OciLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  DockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  DockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  DockerConfig: "application/vnd.docker.container.image.v1+json",
} as const;

const schema1Types = [
  "application/vnd.docker.distribution.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

export function isIndexType(mediaType: string): boolean {
  return mediaType === MediaType.OciIndex || mediaType === MediaType.DockerList;
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === MediaType.OciManifest || mediaType === MediaType.DockerManifest;
}

export function isConfigType(mediaType: string): boolean {
  return mediaType === MediaType.OciConfig || mediaType === MediaType.DockerConfig;
}

/** Docker's format before 2016, which carries no digests of layers that could be checked. */
export function isSchema1Type(mediaType: string): boolean {
  return schema1Types.includes(mediaType);
}

/** Whether content of this type is a layer, of either kind and compression, encrypted ones included. */
export function isLayerType(mediaType: string): boolean {
  const [base = ""] = mediaType.split("+");
  return (
    /^application\/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar$/.test(base) ||
    /^application\/vnd\.docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?$/.test(base)
  );
}

/** Whether a layer of this type is encrypted, as ocicrypt does it. */
export function isEncryptedLayer(mediaType: string): boolean {
  return isLayerType(mediaType) && mediaType.endsWith("+encrypted");
}

/** Whether a registry must not be given a layer of this type. */
export function isForeignLayer(mediaType: string): boolean {
  return mediaType.includes(".nondistributable.") || mediaType.includes(".foreign.");
}

/** The word with which references of ingests and progress begin. */
export function kindOfContent(
  mediaType: string,
): "manifest" | "index" | "layer" | "config" | "attestation" | "unknown" {
  if (isManifestType(mediaType)) return "manifest";
  if (isIndexType(mediaType)) return "index";
  if (isLayerType(mediaType)) return "layer";
  if (isConfigType(mediaType)) return "config";
  return mediaType === "application/vnd.in-toto+json" ? "attestation" : "unknown";
}
