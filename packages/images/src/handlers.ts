/**
 * Handlers: what is done with each descriptor of an image. Each returns the descriptors to go on with; they are put
 * together like functions.
 *
 * @module
 */
import type { ContentProvider, ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { isKind, notFound } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import { readDocument } from "./blobs.ts";
import type { ImageDescriptor } from "./descriptors.ts";
import { parseImageDocument } from "./documents.ts";
import { isConfigType, isIndexType, isLayerType, isManifestType, isSchema1Type } from "./media-types.ts";
import type { PlatformMatcher } from "./platforms.ts";
import { Together } from "./together.ts";
import { Turns } from "./turns.ts";

/** Handles one descriptor; returns its children, which are handled next. */
export type ImageHandler = (ctx: CallContext, descriptor: ImageDescriptor) => Promise<readonly ImageDescriptor[]>;
/** Puts something around a handler. */
export type ImageHandlerWrapper = (handler: ImageHandler) => ImageHandler;

/** Reads the children of manifests and indexes. */
export function childrenOf(content: ContentProvider): ImageHandler {
  return async (ctx, descriptor) => {
    const { mediaType } = descriptor;
    if (!isManifestType(mediaType) && !isIndexType(mediaType) && !isSchema1Type(mediaType)) return [];
    const document = parseImageDocument(await readDocument(ctx, content, descriptor), descriptor);
    return document.kind === "index" ? document.manifests : [document.config, ...document.layers];
  };
}

/** Leaves out what is not for these platforms; the best comes first. Descriptors without a platform stay. */
export function filterPlatforms(handler: ImageHandler, matcher: PlatformMatcher): ImageHandler {
  return async (ctx, descriptor) => {
    const children = await handler(ctx, descriptor);
    return isIndexType(descriptor.mediaType) ? fittingManifests(children, matcher) : children;
  };
}

/** The manifests of an index that are for these platforms, or for none in particular, the best first. */
export function fittingManifests(manifests: readonly ImageDescriptor[], matcher: PlatformMatcher): ImageDescriptor[] {
  return bestFirst(
    manifests.filter(({ platform }) => platform === undefined || matcher.matches(platform)),
    matcher,
  );
}

/** Sorts by platform; those that name none come last. */
export function bestFirst(manifests: readonly ImageDescriptor[], matcher: PlatformMatcher): ImageDescriptor[] {
  return manifests.toSorted((a, b) =>
    a.platform === undefined || b.platform === undefined
      ? Number(a.platform === undefined) - Number(b.platform === undefined)
      : matcher.compare(a.platform, b.platform),
  );
}

/** Leaves out the layers of what is not for these platforms; manifests and configurations stay, the best first. */
export function filterLayers(handler: ImageHandler, matcher: PlatformMatcher): ImageHandler {
  return async (ctx, descriptor) => {
    const children = await handler(ctx, descriptor);
    const { mediaType, platform } = descriptor;
    if (isIndexType(mediaType)) return bestFirst(children, matcher);
    if (!isManifestType(mediaType) || platform === undefined || matcher.matches(platform)) return children;
    return children.filter((child) => !isLayerType(child.mediaType));
  };
}

/** Keeps the first `limit` manifests of an index. @throws ContainerdError `not-found` when it has none */
export function limitManifests(handler: ImageHandler, limit: number): ImageHandler {
  return async (ctx, descriptor) => {
    const children = await handler(ctx, descriptor);
    if (!isIndexType(descriptor.mediaType)) return children;
    if (children.length > 0) return children.slice(0, limit);
    throw notFound(
      `index ${descriptor.digest} has no manifest for the platform that is wanted; choose another platform`,
    );
  };
}

/** Labels that keep children from collection as long as their parent is kept. */
export function childLabels(children: readonly Descriptor[]): Map<string, string> {
  const counts = new Map<string, number>();
  const labels = new Map<string, string>();
  for (const { mediaType, digest } of children) {
    const prefix = childPrefix(mediaType);
    const count = counts.get(prefix) ?? 0;
    counts.set(prefix, count + 1);
    const suffix = prefix === "config" ? "config" : `${prefix}${count}`;
    labels.set(`containerd.io/gc.ref.content.${suffix}`, digest);
  }
  return labels;
}

function childPrefix(mediaType: string): string {
  if (isManifestType(mediaType)) return "m.";
  if (isLayerType(mediaType)) return "l.";
  return isConfigType(mediaType) ? "config" : "";
}

/** Writes the labels of children to each parent that the content store has. */
export function setChildLabels(handler: ImageHandler, content: ContentStore): ImageHandler {
  return async (ctx, descriptor) => {
    const children = await handler(ctx, descriptor);
    if (children.length > 0) await addLabels(ctx, content, descriptor.digest, childLabels(children));
    return children;
  };
}

/** Adds labels to a blob; those that it has already cost no write. */
export async function addLabels(
  ctx: CallContext,
  content: ContentStore,
  digest: string,
  labels: ReadonlyMap<string, string>,
): Promise<void> {
  const info = await content.info(ctx, digest);
  const missing = [...labels].filter(([key, value]) => info.labels.get(key) !== value);
  if (missing.length === 0) return;
  const mask = missing.map(([key]) => `labels.${key}`);
  await content.update(ctx, { ...info, labels: new Map(missing) }, mask);
}

/** Most bytes of a label's key and value. */
const maxLabel = 4096;

/** Notes on every blob from which repository of which host it came, so that a push can mount it. */
export function noteSource(
  handler: ImageHandler,
  content: ContentStore,
  host: string,
  repository: string,
): ImageHandler {
  const key = `containerd.io/distribution.source.${host}`;
  return async (ctx, descriptor) => {
    const children = await handler(ctx, descriptor);
    try {
      const { labels } = await content.info(ctx, descriptor.digest);
      const known = (labels.get(key) ?? "").split(",").filter((name) => name !== "");
      const value = [...new Set([...known, repository])].sort().join(",");
      if (key.length + value.length <= maxLabel) {
        await addLabels(ctx, content, descriptor.digest, new Map([[key, value]]));
      }
    } catch (error) {
      // A layer that a remote snapshotter has is not in the store.
      if (!isKind(error, "not-found")) throw error;
    }
    return children;
  };
}

/**
 * Walks from roots to all that the handler returns, several at once, each digest once. When one fails, the others are
 * aborted and waited for, and its error is thrown.
 *
 * @param turns how many handlers may run at a time
 */
export async function dispatch(
  ctx: CallContext,
  handler: ImageHandler,
  roots: readonly ImageDescriptor[],
  turns: Turns = new Turns(0),
): Promise<void> {
  const seen = new Set<string>();
  const together = new Together(ctx);
  const visit = async (descriptor: ImageDescriptor): Promise<void> => {
    if (seen.has(descriptor.digest)) return;
    seen.add(descriptor.digest);
    let children: readonly ImageDescriptor[] = [];
    await together.run(async (inner) => {
      children = await turns.run(() => {
        inner.signal.throwIfAborted();
        return handler(inner, descriptor);
      });
    });
    await Promise.all(children.map(visit));
  };
  await Promise.all(roots.map(visit));
  together.check();
}
