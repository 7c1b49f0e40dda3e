/**
 * Docker's archives: `manifest.json` lists images, of which an index is made.
 *
 * @module
 */
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { detectCompression } from "@ctrd/archive";
import type { ContentReader, ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { digestOf, parseDigest } from "@ctrd/core/digests";
import { failedPrecondition, invalidArgument, isKind, messageOf } from "@ctrd/core/errors";
import type { Descriptor, Platform } from "@ctrd/core/records";
import { completeReference } from "@ctrd/core/references";
import { isObject } from "./descriptors.ts";
import { readRootfs } from "./documents.ts";
import { openIngest } from "./fetch.ts";
import { MediaType } from "./media-types.ts";

/** A file of an archive, stored as a blob. */
export interface ArchiveFile {
  readonly digest: string;
  readonly size: bigint;
}

/** What an archive holds. Names are paths without `./`. */
export interface ArchiveFiles {
  readonly blobs: Map<string, ArchiveFile>;
  /** Links by name, with what they point at. */
  readonly links: Map<string, string>;
  /** The documents that say what the rest is. */
  readonly documents: Map<string, Buffer>;
}

/** Annotations that name an image. */
export const imageNameAnnotation = "io.containerd.image.name";
export const refNameAnnotation = "org.opencontainers.image.ref.name";

const uncompressedLabel = "containerd.io/uncompressed";
const pieceSize = 1 << 20;

/** Links that lead to links end somewhere. */
const maxLinks = 16;

/** Stores manifests for the images of `manifest.json`, and an index of them. */
export async function indexOfDockerArchive(
  ctx: CallContext,
  content: ContentStore,
  files: ArchiveFiles,
  compressLayers: boolean,
): Promise<Descriptor> {
  const entries: object[] = [];
  for (const image of parseManifestJson(files.documents.get("manifest.json") ?? Buffer.alloc(0))) {
    const config = fileOf(files, image.Config);
    const layers: object[] = [];
    for (const name of image.Layers) {
      const layer = await layerOf(ctx, content, fileOf(files, name), compressLayers);
      layers.push({ mediaType: layer.mediaType, digest: layer.digest, size: Number(layer.size) });
    }
    const manifest = await storeJson(ctx, content, MediaType.DockerManifest, {
      schemaVersion: 2,
      mediaType: MediaType.DockerManifest,
      config: { mediaType: MediaType.DockerConfig, digest: config.digest, size: Number(config.size) },
      layers,
    });
    const descriptor = { mediaType: MediaType.DockerConfig, annotations: new Map<string, string>(), ...config };
    const { platform } = await readRootfs(ctx, content, descriptor);
    const entry = { mediaType: manifest.mediaType, digest: manifest.digest, size: Number(manifest.size) };
    const described = { ...entry, platform: platformJson(platform) };
    const tags = image.RepoTags.length === 0 ? [undefined] : image.RepoTags;
    for (const tag of tags) entries.push(tag === undefined ? described : { ...described, annotations: named(tag) });
  }
  return storeJson(ctx, content, MediaType.OciIndex, {
    schemaVersion: 2,
    mediaType: MediaType.OciIndex,
    manifests: entries,
  });
}

interface ManifestJsonEntry {
  Config: string;
  RepoTags: string[];
  Layers: string[];
}

function parseManifestJson(bytes: Buffer): ManifestJsonEntry[] {
  let list: unknown;
  try {
    list = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw invalidArgument(`import: manifest.json is not JSON: ${messageOf(error)}`, { cause: error });
  }
  if (!Array.isArray(list)) throw invalidArgument("import: manifest.json is not a list");
  return list.map((entry: unknown) => {
    const { Config, RepoTags, Layers } = isObject(entry) ? entry : {};
    if (typeof Config !== "string") throw invalidArgument("import: an image of manifest.json has no Config");
    return { Config, RepoTags: strings(RepoTags), Layers: strings(Layers) };
  });
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}

function fileOf(files: ArchiveFiles, name: string): ArchiveFile {
  let path = name;
  for (let links = 0; links < maxLinks; links++) {
    const file = files.blobs.get(path);
    if (file !== undefined) return file;
    const target = files.links.get(path);
    if (target === undefined) break;
    path = target;
  }
  throw invalidArgument(`import: manifest.json names "${name}", which is not in the archive`);
}

const layerType = "application/vnd.docker.image.rootfs.diff.tar";

/** The layer itself, or what the store has of it in compressed form. */
async function layerOf(
  ctx: CallContext,
  content: ContentStore,
  file: ArchiveFile,
  compress: boolean,
): Promise<ArchiveFile & { mediaType: string }> {
  const compression = await compressionOf(ctx, content, file.digest);
  if (compression !== "none") return { ...file, mediaType: `${layerType}.${compression}` };
  for await (const { digest, size } of content.list(ctx, [`labels."${uncompressedLabel}"==${file.digest}`])) {
    const known = await compressionOf(ctx, content, digest);
    if (known !== "none") return { digest, size, mediaType: `${layerType}.${known}` };
  }
  if (!compress) return { ...file, mediaType: layerType };
  return { ...(await compressed(ctx, content, file)), mediaType: `${layerType}.gzip` };
}

async function compressionOf(
  ctx: CallContext,
  content: ContentStore,
  digest: string,
): Promise<ReturnType<typeof detectCompression>> {
  const reader = await content.reader(ctx, digest);
  try {
    return detectCompression(Buffer.from(await reader.read(0n, 16)));
  } finally {
    await reader.close();
  }
}

/** Stores a blob once more, compressed. */
async function compressed(ctx: CallContext, content: ContentStore, { digest }: ArchiveFile): Promise<ArchiveFile> {
  const { algorithm, hex } = parseDigest(digest);
  const ref = `compress-blob-${algorithm}-${hex}`;
  const writer = await openIngest(ctx, content, { ref });
  if (writer === undefined) throw failedPrecondition(`import: ${ref} is there without having been written`);
  const reader = await content.reader(ctx, digest);
  let size = 0n;
  let isOpen = true;
  try {
    await writer.truncate(0n);
    const gzip = Readable.from(pieces(reader), { objectMode: false }).compose(createGzip(), { signal: ctx.signal });
    for await (const chunk of gzip as AsyncIterable<Buffer>) {
      await writer.write(chunk);
      size += BigInt(chunk.length);
    }
    const expected = await writer.digest();
    isOpen = false;
    await ignoreExisting(writer.commit(ctx, { size, expected, labels: new Map([[uncompressedLabel, digest]]) }));
    return { digest: expected, size };
  } finally {
    await reader.close();
    if (isOpen) await writer.close();
  }
}

async function* pieces(reader: ContentReader): AsyncGenerator<Uint8Array> {
  for (let offset = 0n; offset < reader.size;) {
    const data = await reader.read(offset, pieceSize);
    if (data.length === 0) return;
    offset += BigInt(data.length);
    yield data;
  }
}

function named(tag: string): Record<string, string> {
  const name = completeReference(tag);
  return { [imageNameAnnotation]: name, [refNameAnnotation]: name.slice(name.lastIndexOf(":") + 1) };
}

function platformJson({ os, architecture, variant, osVersion }: Platform): object {
  return {
    os,
    architecture,
    ...(variant === "" ? {} : { variant }),
    ...(osVersion === "" ? {} : { "os.version": osVersion }),
  };
}

/** Stores a document. */
export async function storeJson(
  ctx: CallContext,
  content: ContentStore,
  mediaType: string,
  document: object,
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = digestOf(bytes);
  const size = BigInt(bytes.length);
  const descriptor = { mediaType, digest, size, annotations: new Map<string, string>() };
  const writer = await openIngest(ctx, content, { ref: `manifest-${digest}`, total: size, expected: digest });
  if (writer === undefined) return descriptor;
  let isOpen = true;
  try {
    await writer.truncate(0n);
    await writer.write(bytes);
    isOpen = false;
    await ignoreExisting(writer.commit(ctx, { size, expected: digest }));
    return descriptor;
  } finally {
    if (isOpen) await writer.close();
  }
}

async function ignoreExisting(commit: Promise<void>): Promise<void> {
  try {
    await commit;
  } catch (error) {
    if (!isKind(error, "already-exists")) throw error;
  }
}
