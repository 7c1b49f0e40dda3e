/**
 * Pushing: all blobs of an image, then its manifests, then its indexes.
 *
 * @module
 */
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, isKind, messageOf } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { ProgressListener, Pusher } from "@ctrd/core/remotes";
import type { ImageDescriptor } from "./descriptors.ts";
import { contentName } from "./fetch.ts";
import type { ImageHandler, ImageHandlerWrapper } from "./handlers.ts";
import { childrenOf, dispatch, filterPlatforms, waitForAll } from "./handlers.ts";
import { isForeignLayer, isIndexType, isManifestType } from "./media-types.ts";
import type { PlatformMatcher } from "./platforms.ts";
import { anyPlatform } from "./platforms.ts";
import { Turns } from "./turns.ts";

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
  await dispatch(ctx, imageHandlerWrapper?.(collect) ?? collect, [target]);
  const turns = new Turns(options.maxConcurrentUploads ?? 0);
  for (const group of [blobs, manifests]) {
    await waitForAll(group.map((descriptor) => turns.run(() => pushOne(ctx, descriptor, options))));
  }
  for (const index of indexes.toReversed()) await pushOne(ctx, index, options);
}

async function pushOne(ctx: CallContext, descriptor: ImageDescriptor, options: PushOptions): Promise<void> {
  const { content, pusher, progress } = options;
  const report = { name: contentName(descriptor), descriptor, total: descriptor.size };
  ctx.signal.throwIfAborted();
  try {
    const { labels } = await content.info(ctx, descriptor.digest);
    // Where else the registry may have it.
    const sources = [...labels].filter(([key]) => key.startsWith(sourcePrefix));
    const annotations = new Map([...descriptor.annotations, ...sources]);
    const writer = await pusher.push(ctx, { ...descriptor, annotations });
    try {
      await upload(ctx, descriptor, options, (data) => writer.write(data));
      await writer.commit();
    } catch (error) {
      await writer.close();
      throw error;
    }
    progress?.({ ...report, stage: "complete", offset: descriptor.size });
  } catch (error) {
    if (isKind(error, "already-exists")) {
      progress?.({
        ...report,
        stage: /mounted/.test(messageOf(error)) ? "mounted" : "exists",
        offset: descriptor.size,
      });
      return;
    }
    if (isKind(error, "not-found")) {
      throw failedPrecondition(
        `push ${descriptor.digest}: it is not in the content store; pull the image for all platforms, or push with one`,
        { cause: error },
      );
    }
    progress?.({ ...report, stage: "failed", error: messageOf(error) });
    throw error;
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
