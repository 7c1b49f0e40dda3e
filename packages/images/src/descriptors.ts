/**
 * Descriptors as they stand in manifests and indexes.
 *
 * @module
 */
import { parseDigest } from "@ctrd/core/digests";
import { invalidArgument } from "@ctrd/core/errors";
import type { Platform } from "@ctrd/core/records";
import type { RemoteDescriptor } from "@ctrd/core/remotes";

/** A descriptor with what only documents say of it. */
export interface ImageDescriptor extends RemoteDescriptor {
  readonly platform?: Platform;
  /** The content itself, when the descriptor carries it. */
  readonly data?: Buffer;
  readonly artifactType?: string;
}

type Json = Readonly<Record<string, unknown>>;

/** Takes a descriptor out of a document. @throws ContainerdError `invalid-argument` naming `where` */
export function parseDescriptor(value: unknown, where: string): ImageDescriptor {
  const wrong = (what: string): Error => invalidArgument(`${where} ${what}`);
  if (!isObject(value)) throw wrong("is not a descriptor");
  const { mediaType = "", digest, size, annotations, urls, platform, data, artifactType } = value;
  if (typeof mediaType !== "string") throw wrong("has a media type that is no string");
  if (typeof digest !== "string") throw wrong("has no digest");
  try {
    parseDigest(digest);
  } catch (error) {
    throw invalidArgument(`${where} has the malformed digest "${digest}"`, { cause: error });
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw wrong("has no valid size");
  return {
    mediaType,
    digest,
    size: BigInt(size),
    annotations: new Map(stringEntries(annotations)),
    ...(Array.isArray(urls) ? { urls: urls.filter((url) => typeof url === "string") } : {}),
    ...(isObject(platform) ? { platform: parsePlatform(platform) } : {}),
    ...inlineData(data, size),
    ...(typeof artifactType === "string" ? { artifactType } : {}),
  };
}

/** Only data of the full size counts. */
function inlineData(data: unknown, size: number): { data?: Buffer } {
  if (typeof data !== "string") return {};
  const bytes = Buffer.from(data, "base64");
  return bytes.length === size ? { data: bytes } : {};
}

/** A platform as indexes and configurations have it. */
export function parsePlatform(value: Json): Platform {
  const text = (name: string): string => (typeof value[name] === "string" ? value[name] : "");
  return {
    os: text("os"),
    architecture: text("architecture"),
    variant: text("variant"),
    osVersion: text("os.version"),
  };
}

/** Entries of an object whose values are strings. */
export function stringEntries(value: unknown): [string, string][] {
  if (!isObject(value)) return [];
  return Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string");
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
