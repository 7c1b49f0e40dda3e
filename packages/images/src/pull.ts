/**
 * Pulling: resolve, fetch, unpack while fetching, and name the result.
 *
 * @module
 */
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { untilAborted, withLease, withoutCancellation, withSignal } from "@ctrd/core/context";
import type { Applier } from "@ctrd/core/diff";
import { canceled, isKind, messageOf, notImplemented } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { ImageVerifier } from "@ctrd/core/image-verifier";
import type { Image, ImageStore } from "@ctrd/core/images";
import type { Lease, LeaseManager } from "@ctrd/core/leases";
import { hostPlatform } from "@ctrd/core/platforms";
import type { Descriptor, Labels } from "@ctrd/core/records";
import type { Fetcher, ProgressListener, Resolver } from "@ctrd/core/remotes";
import type { SnapshotterLookup } from "@ctrd/core/snapshots";
import { traced } from "@ctrd/core/tracing";
import { fetchContent } from "./fetch.ts";
import type { ImageHandler, ImageHandlerWrapper } from "./handlers.ts";
import {
  childrenOf,
  dispatch,
  filterLayers,
  filterPlatforms,
  limitManifests,
  noteSource,
  setChildLabels,
} from "./handlers.ts";
import { isSchema1Type } from "./media-types.ts";
import type { PlatformMatcher } from "./platforms.ts";
import { anyPlatform, matchPlatform } from "./platforms.ts";
import { Turns } from "./turns.ts";
import { UnpackWhileFetching } from "./unpack-while-fetching.ts";
import { verifyImage } from "./verify.ts";

/** The stores that a pull fills. */
export interface PullStores {
  content: ContentStore;
  images: ImageStore;
  leases: LeaseManager;
  snapshotters: SnapshotterLookup;
  applier: Applier;
}

/** Options of {@link pullImage}. */
export interface PullOptions {
  resolver: Resolver;
  /** What is pulled of an index; by default what runs here, and of it only the best. */
  platform?: PlatformMatcher;
  /** Most manifests of an index; by default 1, 0: all that match. */
  manifestLimit?: number;
  /** Fetch manifests and configurations for all platforms; layers only for `platform`. */
  allMetadata?: boolean;
  /** Snapshotter to unpack into, and which manifests of those pulled (by default all); not unpacked when absent. */
  unpack?: { snapshotter: string; platform?: PlatformMatcher };
  /** Labels of the image record. */
  labels?: Labels;
  /** Called with every descriptor before it is fetched. */
  imageHandler?: ImageHandler;
  /** Put around the handler of all descriptors; may change their annotations, as remote snapshotters want it. */
  imageHandlerWrapper?: ImageHandlerWrapper;
  /** Most contents at a time; unlimited when 0 or absent. */
  maxConcurrentDownloads?: number;
  progress?: ProgressListener;
  /** Asked by name, one after the other, before anything is fetched; the first that refuses fails the pull. */
  verifiers?: ReadonlyMap<string, ImageVerifier>;
}

/** How long what is pulled stays when the pull is killed. */
const leaseMs = 24 * 3600 * 1000;

/**
 * Pulls an image. What was pulled and is not referenced when it fails is collected with the lease.
 *
 * @param reference full reference: host, repository, and tag or digest
 * @returns the image record
 */
export async function pullImage(
  ctx: CallContext,
  stores: PullStores,
  reference: string,
  options: PullOptions,
): Promise<Image> {
  return traced(ctx, "pull", { "image.ref": reference }, (inner) => pullUnderLease(inner, stores, reference, options));
}

function pullUnderLease(ctx: CallContext, stores: PullStores, reference: string, options: PullOptions): Promise<Image> {
  return withTemporaryLease(ctx, stores.leases, async (leased) => {
    const { progress, resolver } = options;
    progress?.({ stage: "resolving", name: reference });
    const { name, target } = await traced(leased, "pull.resolve", {}, (inner) => resolver.resolve(inner, reference));
    if (isSchema1Type(target.mediaType)) {
      throw notImplemented(`pull ${reference}: it is in Docker's schema 1; push it again with a tool of this decade`);
    }
    if (options.verifiers !== undefined) await verifyImage(leased, options.verifiers, reference, target);
    progress?.({ stage: "resolved", name: reference, descriptor: target });
    await fetchAll(leased, stores, reference, target, options);
    FAILPOINT: if (failpoints.on) await failpoints.at("pull.record");
    const image = await storeImage(leased, stores.images, name, target, options.labels ?? new Map());
    progress?.({ stage: "saved", name, descriptor: target });
    return image;
  });
}

async function fetchAll(
  outer: CallContext,
  stores: PullStores,
  reference: string,
  target: Descriptor,
  options: PullOptions,
): Promise<void> {
  const { content } = stores;
  const abort = new AbortController();
  const ctx = withSignal(outer, abort.signal);
  const fetcher = await options.resolver.fetcher(ctx, reference);
  const turns = new Turns(options.maxConcurrentDownloads ?? 0);
  let handler = fetchHandler(content, fetcher, reference, options);
  if (options.imageHandlerWrapper !== undefined) handler = options.imageHandlerWrapper(handler);
  const unpacking =
    options.unpack === undefined
      ? undefined
      : new UnpackWhileFetching(handler, turns, options.unpack.platform ?? anyPlatform, {
          content,
          applier: stores.applier,
          snapshotter: stores.snapshotters.get(options.unpack.snapshotter),
          snapshotterName: options.unpack.snapshotter,
          ...(options.progress === undefined ? {} : { progress: options.progress }),
        });
  try {
    await dispatch(ctx, unpacking?.handler ?? handler, [target], turns);
    await unpacking?.done();
  } catch (error) {
    // Nothing goes on behind the caller's back, and what fails first is what is told.
    abort.abort(canceled(`pull ${reference}`, { cause: error }));
    await unpacking?.done().catch(() => {});
    throw error;
  }
}

function fetchHandler(content: ContentStore, fetcher: Fetcher, reference: string, options: PullOptions): ImageHandler {
  const { progress, manifestLimit = 1, imageHandler } = options;
  const matcher = options.platform ?? matchPlatform(hostPlatform());
  const filter = options.allMetadata === true ? filterLayers : filterPlatforms;
  let children = filter(setChildLabels(childrenOf(content), content), matcher);
  if (manifestLimit > 0) children = limitManifests(children, manifestLimit);
  const [host = "", ...path] = reference.split("@")[0]?.split("/") ?? [];
  const noted = noteSource(children, content, host, path.join("/").replace(/:[^/]*$/, ""));
  return async (ctx, descriptor) => {
    const more = (await imageHandler?.(ctx, descriptor)) ?? [];
    await fetchContent(ctx, descriptor, { content, fetcher, ...(progress === undefined ? {} : { progress }) });
    return [...more, ...(await noted(ctx, descriptor))];
  };
}

/** Names a descriptor, or points the name at it. */
export async function storeImage(
  ctx: CallContext,
  images: ImageStore,
  name: string,
  target: Descriptor,
  labels: Labels,
): Promise<Image> {
  const image: Image = { name, labels, target, createdAt: undefined, updatedAt: undefined };
  try {
    return await images.create(ctx, image);
  } catch (error) {
    if (!isKind(error, "already-exists")) throw error;
  }
  const mask = ["target", ...[...labels.keys()].map((key) => `labels.${key}`)];
  try {
    return await images.update(ctx, image, mask);
  } catch (error) {
    // Removed in between.
    if (!isKind(error, "not-found")) throw error;
    return images.create(ctx, image);
  }
}

/** Runs `body` under a lease that ends with it; should the program die, the lease expires by itself. */
export async function withTemporaryLease<T>(
  ctx: CallContext,
  leases: LeaseManager,
  body: (ctx: CallContext) => Promise<T>,
): Promise<T> {
  // The caller's own lease does as well.
  if (ctx.lease !== undefined) return body(ctx);
  const uncanceled = withoutCancellation(ctx);
  const remove = (lease: Lease): Promise<void> =>
    leases.delete(uncanceled, lease.id).catch((error: unknown) => {
      ctx.log.warn({ lease: lease.id, err: messageOf(error) }, "cannot remove a temporary lease, it will expire");
    });
  const expires = new Date(Date.now() + leaseMs).toISOString();
  // A creation that is broken off may have happened, under a name that nobody knows: it is let end.
  const creating = leases.create(uncanceled, { id: "", labels: new Map([["containerd.io/gc.expire", expires]]) });
  const lease = await untilAborted(creating, ctx.signal).catch((error: unknown) => {
    creating.then(remove, () => {});
    throw error;
  });
  try {
    return await body(withLease(ctx, lease.id));
  } finally {
    await remove(lease);
  }
}
