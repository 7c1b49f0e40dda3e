/**
 * Media types that decide where content is asked for.
 *
 * @module
 */
const manifestTypes = [
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.oci.image.index.v1+json",
];

/** What a resolve accepts. */
export const manifestAccept: string = [...manifestTypes, "*/*"].join(", ");

const schema1Types = [
  "application/vnd.docker.distribution.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/** Whether content of this type is a manifest or an index, which registries keep apart from blobs. */
export function isManifestType(mediaType: string): boolean {
  return manifestTypes.includes(mediaType) || schema1Types.includes(mediaType);
}
