/**
 * Pushing: all blobs of an image, then its manifests, then its indexes.
 *
 * @module
 */
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import type { ErrorKind } from "@ctrd/core/errors";
import { failedPrecondition, isKind, kindOf, messageOf } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { ProgressListener, Pusher } from "@ctrd/core/remotes";
import type { ImageDescriptor } from "./descriptors.ts";
import { contentName } from "./fetch.ts";
import type { ImageHandler, ImageHandlerWrapper } from "./handlers.ts";
import { childrenOf, dispatch, filterPlatforms } from "./handlers.ts";
import { isForeignLayer, isIndexType, isManifestType } from "./media-types.ts";
import type { PlatformMatcher } from "./platforms.ts";
import { anyPlatform } from "./platforms.ts";
import { Together } from "./together.ts";
import { Turns } from "./turns.ts";
import { setTimeout as sleep } from "node:timers/promises";

/** Options of {@link pushContent}. */
export interface PushOptions {
  content: ContentStore;
  pusher: Pusher;
  /** Which manifests of an index are pushed; all when absent. */
  platform?: PlatformMatcher;
  imageHandlerWrapper?: ImageHandlerWrapper;
  /** Most uploads at a time; unlimited when 0 or absent. */
  maxConcurrentUploads?: number;
  progress?: ProgressListener;
}

const pieceSize = 1 << 20;
const maxTries = 4;
const firstPauseMs = 100;
/** Lost connections, busy and broken registries, and a token that expired under way. */
const retriedKinds: ReadonlySet<ErrorKind> = new Set(["unavailable", "resource-exhausted", "unauthenticated"]);
const sourcePrefix = "containerd.io/distribution.source.";

/** Pushes what `target` refers to, then `target`. Foreign layers stay where they are. */
export async function pushContent(ctx: CallContext, target: Descriptor, options: PushOptions): Promise<void> {
  const { content, imageHandlerWrapper, platform = anyPlatform } = options;
  const blobs: ImageDescriptor[] = [];
  const manifests: ImageDescriptor[] = [];
  // Outer before inner; pushed the other way round.
  const indexes: ImageDescriptor[] = [];
  const children = filterPlatforms(childrenOf(content), platform);
  const collect: ImageHandler = async (inner, descriptor) => {
    const found = await children(inner, descriptor);
    if (isIndexType(descriptor.mediaType)) indexes.push(descriptor);
    else if (isManifestType(descriptor.mediaType)) manifests.push(descriptor);
    else if (!isForeignLayer(descriptor.mediaType)) blobs.push(descriptor);
    return found;
  };
  try {
    await dispatch(ctx, imageHandlerWrapper?.(collect) ?? collect, [target]);
  } catch (error) {
    if (isKind(error, "not-found")) throw notThere(target, error);
    throw error;
  }
  const turns = new Turns(options.maxConcurrentUploads ?? 0);
  for (const group of [blobs, manifests]) {
    const uploads = group.map(
      (descriptor) => (inner: CallContext) => turns.run(() => pushOne(inner, descriptor, options)),
    );
    await new Together(ctx).all(uploads);
  }
  for (const index of indexes.toReversed()) await pushOne(ctx, index, options);
}

function notThere({ digest }: Descriptor, cause: Error): Error {
  const remedy = "pull the image for all platforms, or push with one";
  return failedPrecondition(`push ${digest}: not all of it is in the content store (${messageOf(cause)}); ${remedy}`, {
    cause,
  });
}

async function pushOne(ctx: CallContext, descriptor: ImageDescriptor, options: PushOptions): Promise<void> {
  const { content, progress } = options;
  const report = { name: contentName(descriptor), descriptor, total: descriptor.size, offset: descriptor.size };
  ctx.signal.throwIfAborted();
  try {
    const { labels } = await content.info(ctx, descriptor.digest);
    // Where else the registry may have it.
    const sources = [...labels].filter(([key]) => key.startsWith(sourcePrefix));
    const annotations = new Map([...descriptor.annotations, ...sources]);
    await pushTrying(ctx, { ...descriptor, annotations }, options);
    progress?.({ ...report, stage: "complete" });
  } catch (error) {
    if (isKind(error, "already-exists")) {
      progress?.({ ...report, stage: /mounted/.test(messageOf(error)) ? "mounted" : "exists" });
      return;
    }
    progress?.({ ...report, stage: "failed", error: messageOf(error) });
    if (isKind(error, "not-found")) throw notThere(descriptor, error);
    throw error;
  }
}

/** Uploads; one that breaks off is begun anew, since it cannot be gone on with. */
async function pushTrying(ctx: CallContext, descriptor: ImageDescriptor, options: PushOptions): Promise<void> {
  for (let tries = 1; ; tries++) {
    const writer = await options.pusher.push(ctx, descriptor);
    try {
      await upload(ctx, descriptor, options, (data) => writer.write(data));
      await writer.commit();
      return;
    } catch (error) {
      if (ctx.signal.aborted || tries >= maxTries || !retriedKinds.has(kindOf(error))) throw error;
      ctx.log.debug({ digest: descriptor.digest, err: messageOf(error) }, "upload broke off, beginning anew");
    } finally {
      await writer.close();
    }
    await sleep(firstPauseMs * 2 ** tries, undefined, { signal: ctx.signal });
  }
}

async function upload(
  ctx: CallContext,
  descriptor: ImageDescriptor,
  { content, progress }: PushOptions,
  write: (data: Uint8Array) => Promise<void>,
): Promise<void> {
  const report = { name: contentName(descriptor), descriptor, total: descriptor.size };
  const reader = await content.reader(ctx, descriptor.digest);
  try {
    const buffer = Buffer.allocUnsafe(pieceSize);
    for (let offset = 0n; offset < reader.size;) {
      ctx.signal.throwIfAborted();
      const data = await reader.read(offset, pieceSize, buffer);
      if (data.length === 0) break;
      await write(data);
      offset += BigInt(data.length);
      progress?.({ ...report, stage: "uploading", offset });
    }
  } finally {
    await reader.close();
  }
}
