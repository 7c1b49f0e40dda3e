/**
 * Exporting images as one archive that is an OCI layout and loads into Docker as well.
 *
 * @module
 */
import { endOfArchive, formatHeader, padding } from "@ctrd/archive";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { parseDigest } from "@ctrd/core/digests";
import { dataLoss, failedPrecondition, notFound } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import { shortReference } from "@ctrd/core/references";
import { createHash } from "node:crypto";
import { readDocument } from "./blobs.ts";
import type { ImageDescriptor } from "./descriptors.ts";
import { imageNameAnnotation, refNameAnnotation } from "./docker-archive.ts";
import { parseImageDocument } from "./documents.ts";
import type { ImageHandler } from "./handlers.ts";
import { bestFirst, childrenOf, dispatch, filterPlatforms } from "./handlers.ts";
import { isForeignLayer, isIndexType, isManifestType } from "./media-types.ts";
import type { PlatformMatcher } from "./platforms.ts";
import { anyPlatform } from "./platforms.ts";

/** What to export. */
export interface ExportOptions {
  content: ContentStore;
  /** Images with the names to export them under. */
  images: readonly { readonly target: Descriptor; readonly names: readonly string[] }[];
  /** Which manifests of indexes; all when absent. */
  platform?: PlatformMatcher;
  /** Leave Docker's `manifest.json` out. */
  skipManifestJson?: boolean;
  /** Leave layers out that must not be distributed. */
  skipForeignLayers?: boolean;
}

const pieceSize = 1 << 20;
const sourcePrefix = "containerd.io/distribution.source.";

/**
 * The archive, piece by piece.
 *
 * @throws ContainerdError `not-found` when nothing matches the platform, `data-loss` when the store has other bytes
 * under a digest than it should
 */
export async function* exportArchive(ctx: CallContext, options: ExportOptions): AsyncGenerator<Buffer> {
  const { blobs, manifests } = await collect(ctx, options);
  const files = new Map<string, Buffer | Descriptor>();
  for (const descriptor of blobs.values()) {
    const { algorithm, hex } = parseDigest(descriptor.digest);
    files.set(`blobs/${algorithm}/${hex}`, descriptor);
  }
  files.set("index.json", Buffer.from(JSON.stringify(await layoutIndex(ctx, options))));
  files.set("oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  if (options.skipManifestJson !== true && manifests.length > 0) {
    files.set("manifest.json", Buffer.from(JSON.stringify(manifests)));
  }
  yield header("blobs/", "directory", 0, 0o755);
  const directories = new Set([...files.keys()].filter((name) => name.startsWith("blobs/")).map(directoryOf));
  for (const directory of [...directories].sort()) yield header(`${directory}/`, "directory", 0, 0o755);
  for (const name of [...files.keys()].sort()) yield* file(ctx, options.content, name, files.get(name));
  yield endOfArchive;
}

interface Collected {
  blobs: Map<string, Descriptor>;
  /** Entries of `manifest.json`. */
  manifests: object[];
}

async function collect(ctx: CallContext, options: ExportOptions): Promise<Collected> {
  const { content, images, platform = anyPlatform } = options;
  const blobs = new Map<string, Descriptor>();
  const children = filterPlatforms(childrenOf(content), platform);
  const manifests: object[] = [];
  for (const { target, names } of images) {
    const found: ImageDescriptor[] = [];
    const handler: ImageHandler = async (inner, descriptor) => {
      if (options.skipForeignLayers === true && isForeignLayer(descriptor.mediaType)) return [];
      blobs.set(descriptor.digest, descriptor);
      if (isManifestType(descriptor.mediaType)) found.push(descriptor);
      return children(inner, descriptor);
    };
    await dispatch(ctx, handler, [target]);
    if (isIndexType(target.mediaType) && found.length === 0) {
      throw notFound(`export ${names[0] ?? target.digest}: it has no manifest for this platform`);
    }
    const [best] = bestFirst(found, platform);
    if (best !== undefined) manifests.push(await dockerEntry(ctx, content, best, names));
  }
  return { blobs, manifests };
}

async function dockerEntry(
  ctx: CallContext,
  content: ContentStore,
  manifest: ImageDescriptor,
  names: readonly string[],
): Promise<object> {
  const document = parseImageDocument(await readDocument(ctx, content, manifest), manifest);
  if (document.kind !== "manifest") throw failedPrecondition(`export: ${manifest.digest} is no manifest`);
  const pathOf = ({ digest }: Descriptor): string => `blobs/${digest.replace(":", "/")}`;
  const tags = names.filter((name) => !name.includes("@")).map(shortReference);
  return {
    Config: pathOf(document.config),
    RepoTags: tags.length === 0 ? null : tags,
    Layers: document.layers.map(pathOf),
  };
}

async function layoutIndex(ctx: CallContext, { content, images }: ExportOptions): Promise<object> {
  const manifests: object[] = [];
  for (const { target, names } of images) {
    const { labels } = await content.info(ctx, target.digest);
    const sources = [...labels].filter(([key]) => key.startsWith(sourcePrefix));
    const entry = { mediaType: target.mediaType, digest: target.digest, size: Number(target.size) };
    for (const name of names.length === 0 ? [undefined] : names) {
      const annotations = [...target.annotations, ...sources, ...(name === undefined ? [] : namesOf(name))];
      manifests.push(annotations.length === 0 ? entry : { ...entry, annotations: Object.fromEntries(annotations) });
    }
  }
  return { schemaVersion: 2, manifests };
}

function namesOf(name: string): [string, string][] {
  const tag = name.includes("@") ? name : name.slice(name.lastIndexOf(":") + 1);
  return [
    [imageNameAnnotation, name],
    [refNameAnnotation, tag],
  ];
}

async function* file(
  ctx: CallContext,
  content: ContentStore,
  name: string,
  what: Buffer | Descriptor | undefined,
): AsyncGenerator<Buffer> {
  if (what === undefined) return;
  if (Buffer.isBuffer(what)) {
    yield header(name, "file", what.length, name === "oci-layout" ? 0o444 : 0o644);
    yield what;
    yield Buffer.alloc(padding(what.length));
    return;
  }
  const { algorithm, hex } = parseDigest(what.digest);
  const reader = await content.reader(ctx, what.digest);
  try {
    const size = Number(reader.size);
    yield header(name, "file", size, 0o444);
    const hash = createHash(algorithm);
    for (let offset = 0n; offset < reader.size;) {
      ctx.signal.throwIfAborted();
      const data = Buffer.from(await reader.read(offset, pieceSize));
      if (data.length === 0) break;
      hash.update(data);
      offset += BigInt(data.length);
      yield data;
    }
    if (hash.digest("hex") !== hex) throw dataLoss(`export ${what.digest}: the content store has other bytes`);
    yield Buffer.alloc(padding(size));
  } finally {
    await reader.close();
  }
}

function directoryOf(name: string): string {
  return name.slice(0, name.lastIndexOf("/"));
}

function header(name: string, type: "file" | "directory", size: number, mode: number): Buffer {
  return formatHeader({
    type,
    name,
    linkName: "",
    mode,
    uid: 0,
    gid: 0,
    size,
    modifyTime: { seconds: 0, nanos: 0 },
    accessTime: undefined,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
  });
}
