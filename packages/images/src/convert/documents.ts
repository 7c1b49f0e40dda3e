/**
 * Converting the documents of an image: what they say stays as it is, but for the descriptors of what was converted.
 *
 * @module
 */
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { invalidArgument, isKind, notFound } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import { parseJsonObject, readDocument } from "../blobs.ts";
import type { ImageDescriptor } from "../descriptors.ts";
import { isObject } from "../descriptors.ts";
import { storeJson } from "../docker-archive.ts";
import type { Manifest } from "../documents.ts";
import { parseImageDocument, readRootfs } from "../documents.ts";
import { addLabels, childLabels } from "../handlers.ts";
import { isConfigType, isIndexType, isLayerType, isManifestType } from "../media-types.ts";
import type { PlatformMatcher } from "../platforms.ts";
import { Together } from "../together.ts";
import { ociTypeOf } from "./layer-types.ts";
import type { LayerConverter, NewLayer } from "./layers.ts";

/** How documents are converted. */
export interface DocumentOptions {
  readonly content: ContentStore;
  /** Absent: layers stay as they are. */
  readonly layers: LayerConverter | undefined;
  /** Docker's media types become OCI's. */
  readonly oci: boolean;
  /** Which manifests of indexes; all when absent. */
  readonly platform: PlatformMatcher | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/** Converts documents; each digest once. */
export class DocumentConverter {
  readonly #options: DocumentOptions;
  readonly #known: Map<string, Promise<Descriptor>> = new Map();

  constructor(options: DocumentOptions) {
    this.#options = options;
  }

  /** Converts a manifest or an index and all below it; anything else stays. @returns what it became */
  convert(ctx: CallContext, descriptor: ImageDescriptor): Promise<Descriptor> {
    const known = this.#known.get(descriptor.digest) ?? this.#convert(ctx, descriptor);
    this.#known.set(descriptor.digest, known);
    return known;
  }

  async #convert(ctx: CallContext, descriptor: ImageDescriptor): Promise<Descriptor> {
    if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType)) return descriptor;
    const bytes = await this.#read(ctx, descriptor);
    const document = parseImageDocument(bytes, descriptor);
    const json = parseJsonObject(bytes, `document ${descriptor.digest}`);
    return document.kind === "index"
      ? this.#index(ctx, descriptor, document.manifests, json)
      : this.#manifest(ctx, descriptor, document, json);
  }

  async #read(ctx: CallContext, descriptor: Descriptor): Promise<Buffer> {
    try {
      return await readDocument(ctx, this.#options.content, descriptor);
    } catch (error) {
      if (!isKind(error, "not-found")) throw error;
      throw notFound(
        `convert: ${descriptor.digest} is not in the content store; pull all platforms, or convert only those that are here`,
        { cause: error },
      );
    }
  }

  async #index(
    ctx: CallContext,
    descriptor: Descriptor,
    manifests: readonly ImageDescriptor[],
    json: Json,
  ): Promise<Descriptor> {
    const { platform: matcher } = this.#options;
    const entries: unknown[] = Array.isArray(json["manifests"]) ? json["manifests"] : [];
    const chosen = manifests
      .map((manifest, index) => ({ manifest, entry: entries[index] }))
      .filter(
        ({ manifest: { platform } }) => matcher === undefined || platform === undefined || matcher.matches(platform),
      );
    if (chosen.length === 0 && manifests.length > 0) {
      throw notFound(`convert: index ${descriptor.digest} has no manifest for these platforms`);
    }
    const children = await all(ctx, chosen, (inner, { manifest }) =>
      isAttestation(manifest) ? Promise.resolve(manifest) : this.convert(inner, manifest),
    );
    const list = chosen.map(({ entry }, index) => renewed(entry, children[index]));
    return this.#store(ctx, descriptor, json, { manifests: list }, children);
  }

  async #manifest(ctx: CallContext, descriptor: Descriptor, manifest: Manifest, json: Json): Promise<Descriptor> {
    // Attestations, charts and other artifacts are not for us to change.
    if (!isConfigType(manifest.config.mediaType) || !manifest.layers.every(({ mediaType }) => isLayerType(mediaType))) {
      return descriptor;
    }
    const converted = await this.#layers(ctx, descriptor, manifest);
    const layers = converted.map((each) => this.#renamed(each.descriptor));
    const diffIds = converted.map(({ diffId }) => diffId);
    const config = this.#renamed(await this.#config(ctx, manifest.config, diffIds));
    const entries: unknown[] = Array.isArray(json["layers"]) ? json["layers"] : [];
    const changes = {
      config: renewed(json["config"], config),
      layers: layers.map((layer, index) => renewed(entries[index], layer)),
    };
    return this.#store(ctx, descriptor, json, changes, [config, ...layers]);
  }

  async #layers(ctx: CallContext, descriptor: Descriptor, { layers, config }: Manifest): Promise<NewLayer[]> {
    const { diffIds } = await readRootfs(ctx, this.#options.content, config);
    if (diffIds.length !== layers.length) {
      throw invalidArgument(
        `convert: manifest ${descriptor.digest} has ${layers.length} layers, its configuration ${diffIds.length}`,
      );
    }
    const { layers: converter } = this.#options;
    const pairs = layers.map((layer, index) => ({ descriptor: layer, diffId: diffIds[index] ?? "" }));
    if (converter === undefined) return pairs;
    return all(ctx, pairs, (inner, { descriptor: layer, diffId }) => converter.convert(inner, layer, diffId));
  }

  /** The configuration with other digests of layers; itself when they are the same. */
  async #config(ctx: CallContext, config: ImageDescriptor, diffIds: readonly string[]): Promise<Descriptor> {
    const { content } = this.#options;
    const json = parseJsonObject(await readDocument(ctx, content, config), `document ${config.digest}`);
    const rootfs = isObject(json["rootfs"]) ? json["rootfs"] : {};
    if (JSON.stringify(rootfs["diff_ids"] ?? []) === JSON.stringify(diffIds)) return config;
    const next = { ...json, rootfs: { ...rootfs, diff_ids: diffIds } };
    const stored = await storeJson(ctx, content, config.mediaType, next);
    return { ...stored, annotations: config.annotations };
  }

  #renamed<T extends Descriptor>(descriptor: T): T {
    return this.#options.oci ? { ...descriptor, mediaType: ociTypeOf(descriptor.mediaType) } : descriptor;
  }

  /** Stores a document, unless it is what it was, and keeps its children with it. */
  async #store(
    ctx: CallContext,
    old: Descriptor,
    json: Json,
    changes: Json,
    children: readonly Descriptor[],
  ): Promise<Descriptor> {
    const { content } = this.#options;
    const { mediaType, annotations } = this.#renamed(old);
    const next = { ...json, ...changes, ...(json["mediaType"] === undefined ? {} : { mediaType }) };
    if (JSON.stringify(next) === JSON.stringify(json)) return this.#renamed(old);
    const stored = await storeJson(ctx, content, mediaType, next);
    await addLabels(ctx, content, stored.digest, childLabels(children));
    return { ...stored, annotations };
  }
}

/** What says how an image was made: it speaks of the image as it was. */
function isAttestation({ annotations, platform }: ImageDescriptor): boolean {
  return annotations.has("vnd.docker.reference.type") || platform?.os === "unknown";
}

/** The entry of a document for what its descriptor became. */
function renewed(entry: unknown, descriptor: Descriptor | undefined): unknown {
  if (!isObject(entry) || descriptor === undefined) return entry;
  const { mediaType, digest, size, annotations } = descriptor;
  if (entry["digest"] === digest) return { ...entry, mediaType };
  // The content itself, and where else it is, are those of what it was.
  const { data: _data, urls: _urls, annotations: _annotations, ...rest } = entry;
  const renewedEntry = { ...rest, mediaType, digest, size: Number(size) };
  return annotations.size === 0 ? renewedEntry : { ...renewedEntry, annotations: Object.fromEntries(annotations) };
}

/** Runs `body` for all at the same time; when one fails the others are aborted. */
async function all<T, R>(
  ctx: CallContext,
  items: readonly T[],
  body: (ctx: CallContext, item: T) => Promise<R>,
): Promise<R[]> {
  const together = new Together(ctx);
  const results: R[] = [];
  await together.all(
    items.map((item, index) => async (inner: CallContext): Promise<void> => {
      results[index] = await body(inner, item);
    }),
  );
  return results;
}
