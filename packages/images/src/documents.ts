/**
 * Manifests, indexes and configurations.
 *
 * @module
 */
import type { ContentProvider } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { parseDigest } from "@ctrd/core/digests";
import { invalidArgument, notImplemented } from "@ctrd/core/errors";
import type { Descriptor, Platform } from "@ctrd/core/records";
import { parseJsonObject, readJson } from "./blobs.ts";
import type { ImageDescriptor } from "./descriptors.ts";
import { isObject, parseDescriptor, parsePlatform } from "./descriptors.ts";
import { isIndexType, isManifestType, isSchema1Type } from "./media-types.ts";

/** An image for one platform. */
export interface Manifest {
  readonly kind: "manifest";
  readonly config: ImageDescriptor;
  readonly layers: readonly ImageDescriptor[];
  readonly subject: ImageDescriptor | undefined;
}

/** A list of manifests or of other indexes. */
export interface Index {
  readonly kind: "index";
  readonly manifests: readonly ImageDescriptor[];
}

/** What a configuration says of the layers. */
export interface ImageRootfs {
  readonly platform: Platform;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[];
}

/** More than any image has; a document with more is meant to exhaust. */
const maxEntries = 10_000;

/**
 * Parses a manifest or an index.
 *
 * @throws ContainerdError `invalid-argument` for a document that is malformed, or that could be read as both (CVE-2021-41190:
 * whoever checks it may read it otherwise than whoever runs it); `not-implemented` for Docker's schema 1
 */
export function parseImageDocument(bytes: Uint8Array, descriptor: Descriptor): Manifest | Index {
  const { mediaType, digest } = descriptor;
  const what = `${isIndexType(mediaType) ? "index" : "manifest"} ${digest}`;
  if (isSchema1Type(mediaType)) {
    throw notImplemented(`${what} is in Docker's schema 1; push the image again with a tool of this decade`);
  }
  return documentOf(parseJsonObject(bytes, what), mediaType, what);
}

function documentOf(json: Readonly<Record<string, unknown>>, mediaType: string, what: string): Manifest | Index {
  const { manifests, layers, config, fsLayers, subject, mediaType: own } = json;
  if (fsLayers !== undefined || json["schemaVersion"] === 1) throw notImplemented(`${what} is in Docker's schema 1`);
  if (typeof own === "string" && own !== "" && isKnown(mediaType) && own !== mediaType) {
    throw invalidArgument(`${what} says that it is "${own}", but is announced as "${mediaType}"`);
  }
  if (manifests !== undefined && (layers !== undefined || config !== undefined)) {
    throw invalidArgument(`${what} is both an index and a manifest; refused, since others may read it otherwise`);
  }
  if (isIndexType(mediaType) || (!isManifestType(mediaType) && manifests !== undefined)) {
    return { kind: "index", manifests: descriptors(manifests, `${what}: manifest`) };
  }
  return {
    kind: "manifest",
    config: parseDescriptor(config, `${what}: config`),
    layers: descriptors(layers, `${what}: layer`),
    subject: subject === undefined ? undefined : parseDescriptor(subject, `${what}: subject`),
  };
}

function isKnown(mediaType: string): boolean {
  return isIndexType(mediaType) || isManifestType(mediaType);
}

function descriptors(list: unknown, what: string): ImageDescriptor[] {
  const entries: unknown[] = list === undefined || list === null ? [] : Array.isArray(list) ? list : [list];
  if (entries.length > maxEntries) throw invalidArgument(`${what}s: more than ${maxEntries}`);
  return entries.map((entry, index) => parseDescriptor(entry, `${what} ${index}`));
}

/** Reads the platform and the layers' diff ids of a configuration. */
export async function readRootfs(ctx: CallContext, content: ContentProvider, config: Descriptor): Promise<ImageRootfs> {
  const json = await readJson(ctx, content, config);
  const rootfs = isObject(json["rootfs"]) ? json["rootfs"] : {};
  const list: unknown = rootfs["diff_ids"] ?? [];
  if (!Array.isArray(list)) throw invalidArgument(`config ${config.digest}: rootfs.diff_ids is not a list`);
  const diffIds = list.map((digest: unknown) => {
    if (typeof digest !== "string") throw invalidArgument(`config ${config.digest}: a diff id is not a string`);
    parseDigest(digest);
    return digest;
  });
  return { platform: parsePlatform(json), diffIds };
}
