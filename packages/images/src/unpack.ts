/**
 * Unpacking: the layers of an image become a chain of snapshots.
 *
 * @module
 */
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { withoutCancellation } from "@ctrd/core/context";
import { digestOf } from "@ctrd/core/digests";
import type { Applier } from "@ctrd/core/diff";
import { failedPrecondition, invalidArgument, isKind, messageOf, notFound, unavailable } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Descriptor, Labels } from "@ctrd/core/records";
import type { ProgressListener } from "@ctrd/core/remotes";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { traced } from "@ctrd/core/tracing";
import { snapshotRefLabel } from "@ctrd/core/snapshots";
import { randomBytes } from "node:crypto";
import { readDocument } from "./blobs.ts";
import type { ImageDescriptor } from "./descriptors.ts";
import { parseImageDocument, readRootfs } from "./documents.ts";
import { applyOptionsFor } from "./encrypted-layers.ts";
import { isEncryptedLayer } from "./media-types.ts";
import type { PlatformMatcher } from "./platforms.ts";
import { contentName } from "./fetch.ts";
import { addLabels, fittingManifests } from "./handlers.ts";

/** What unpacking needs. */
export interface UnpackOptions {
  content: ContentStore;
  applier: Applier;
  snapshotter: Snapshotter;
  /** Its name, for the label that ties the snapshots to the image. */
  snapshotterName: string;
  progress?: ProgressListener;
  /** Called before a layer is applied, when no snapshotter has it: its blob must be there when this resolves. */
  needLayer?(layer: ImageDescriptor): Promise<void>;
}

/** The digest that names the snapshot of each layer with all below it. */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}

/** How often something is tried again because another was unpacking or removing it. */
const maxTries = 30;

/**
 * Unpacks layers, lowest first. Layers that are there are not unpacked again.
 *
 * @param config the image's configuration, which gets the label that keeps the snapshots
 * @returns the chain id of the whole; empty for an image without layers
 * @throws ContainerdError `invalid-argument` when layers and diff ids do not match, `failed-precondition` naming the
 * layer whose content is not what the configuration says
 */
export async function unpackLayers(
  ctx: CallContext,
  config: Descriptor,
  layers: readonly ImageDescriptor[],
  diffIds: readonly string[],
  options: UnpackOptions,
): Promise<string> {
  if (layers.length !== diffIds.length) {
    throw invalidArgument(
      `config ${config.digest} has ${diffIds.length} diff ids, and the manifest has ${layers.length} layers`,
    );
  }
  const chain = chainIds(diffIds);
  const top = chain.at(-1) ?? "";
  if (top === "") return top;
  // First the label: from here on a snapshot that is seen stays, though until now nothing may have referred to it.
  const label = `containerd.io/gc.ref.snapshot.${options.snapshotterName}`;
  await addLabels(ctx, options.content, config.digest, new Map([[label, top]]));
  // That it was decrypted before does not show that the key is there now.
  const isEncrypted = layers.some(({ mediaType }) => isEncryptedLayer(mediaType));
  if (!isEncrypted && (await exists(ctx, options.snapshotter, top))) return top;
  const steps = layers.map((layer, index) => ({
    layer,
    diffId: diffIds[index] ?? "",
    chainId: chain[index] ?? "",
    parent: chain[index - 1] ?? "",
  }));
  for (let tries = 1; !(await unpackSteps(ctx, steps, options)); tries++) {
    if (tries >= maxTries) throw unavailable(`unpack ${config.digest}: its lower layers are removed again and again`);
  }
  return top;
}

/**
 * Unpacks the best manifest for a platform. Its content must be in the store.
 *
 * @returns the chain id
 * @throws ContainerdError `not-found` when no manifest is for the platform; as {@link unpackLayers}
 */
export async function unpackImage(
  ctx: CallContext,
  target: Descriptor,
  platform: PlatformMatcher,
  options: UnpackOptions,
): Promise<string> {
  const document = parseImageDocument(await readDocument(ctx, options.content, target), target);
  if (document.kind === "index") {
    const [best] = fittingManifests(document.manifests, platform);
    if (best === undefined) throw notFound(`unpack ${target.digest}: it has no manifest for this platform`);
    return unpackImage(ctx, best, platform, options);
  }
  const { diffIds } = await readRootfs(ctx, options.content, document.config);
  return unpackLayers(ctx, document.config, document.layers, diffIds, options);
}

/** @returns false when a lower layer that was there, and that nothing referred to, has been collected since */
async function unpackSteps(ctx: CallContext, steps: readonly LayerStep[], options: UnpackOptions): Promise<boolean> {
  for (const step of steps) {
    ctx.signal.throwIfAborted();
    try {
      await unpackLayer(ctx, step, options);
    } catch (error) {
      if (!isKind(error, "not-found") || step.parent === "") throw error;
      if (await exists(ctx, options.snapshotter, step.parent)) throw error;
      return false;
    }
  }
  return true;
}

interface LayerStep {
  layer: ImageDescriptor;
  diffId: string;
  chainId: string;
  parent: string;
}

async function unpackLayer(ctx: CallContext, step: LayerStep, options: UnpackOptions): Promise<void> {
  const { snapshotter } = options;
  const { layer, chainId, parent } = step;
  const labels: Labels = new Map([...inherited(layer.annotations), [snapshotRefLabel, chainId]]);
  for (let tries = 1; ; tries++) {
    if (await exists(ctx, snapshotter, chainId)) {
      if (isEncryptedLayer(layer.mediaType)) await proveReadable(ctx, step, options);
      return;
    }
    const key = extractKey(chainId);
    try {
      const mounts = await snapshotter.prepare(ctx, key, parent, { labels });
      await extract(ctx, step, key, mounts, options);
      return;
    } catch (error) {
      // Either a remote snapshotter has the layer, or another is just unpacking it: the next look tells.
      if (!isKind(error, "already-exists") || tries >= maxTries) throw error;
    }
  }
}

async function extract(
  ctx: CallContext,
  { layer, diffId, chainId }: LayerStep,
  key: string,
  mounts: Parameters<Applier["apply"]>[2],
  { content, applier, snapshotter, progress, needLayer }: UnpackOptions,
): Promise<void> {
  const report = { name: contentName(layer), descriptor: layer };
  try {
    await needLayer?.(layer);
    progress?.({ ...report, stage: "extracting" });
    const applied = await traced(ctx, "pull.unpack", { "content.digest": layer.digest }, (inner) =>
      applier.apply(inner, layer, mounts, applyOptionsFor(layer)),
    );
    checkApplied(layer, applied, diffId);
    FAILPOINT: if (failpoints.on) await failpoints.at("unpack.commit");
    await commitSnapshot(ctx, snapshotter, chainId, key);
    await addLabels(ctx, content, layer.digest, new Map([["containerd.io/uncompressed", diffId]]));
    progress?.({ ...report, stage: "extracted" });
  } catch (error) {
    await removeSnapshot(ctx, snapshotter, key);
    throw error;
  }
}

/** Decrypts a layer once more, into a snapshot that is then removed. @throws when that is not possible any more */
async function proveReadable(
  ctx: CallContext,
  { layer, diffId, chainId }: LayerStep,
  options: UnpackOptions,
): Promise<void> {
  const { snapshotter, applier, needLayer } = options;
  const key = extractKey(chainId);
  const mounts = await snapshotter.prepare(ctx, key, "", { labels: new Map() });
  try {
    await needLayer?.(layer);
    checkApplied(layer, await applier.apply(ctx, layer, mounts, applyOptionsFor(layer)), diffId);
  } finally {
    await removeSnapshot(ctx, snapshotter, key);
  }
}

function checkApplied(layer: Descriptor, applied: Descriptor, diffId: string): void {
  if (applied.digest === diffId) return;
  throw failedPrecondition(
    `unpack layer ${layer.digest}: its content is ${applied.digest}, the image's configuration says ${diffId}`,
  );
}

async function commitSnapshot(ctx: CallContext, snapshotter: Snapshotter, name: string, key: string): Promise<void> {
  try {
    await snapshotter.commit(ctx, name, key);
  } catch (error) {
    // Another was faster; ours goes.
    if (!isKind(error, "already-exists")) throw error;
    await removeSnapshot(ctx, snapshotter, key);
  }
}

async function removeSnapshot(ctx: CallContext, snapshotter: Snapshotter, key: string): Promise<void> {
  try {
    await snapshotter.remove(withoutCancellation(ctx), key);
  } catch (error) {
    if (!isKind(error, "not-found"))
      ctx.log.warn({ key, err: messageOf(error) }, "cannot remove a snapshot of a failed unpack");
  }
}

async function exists(ctx: CallContext, snapshotter: Snapshotter, name: string): Promise<boolean> {
  try {
    await snapshotter.stat(ctx, name);
    return true;
  } catch (error) {
    if (isKind(error, "not-found")) return false;
    throw error;
  }
}

/** Annotations that snapshotters are told. */
function inherited(annotations: ReadonlyMap<string, string>): [string, string][] {
  return [...annotations].filter(([key]) => key.startsWith("containerd.io/snapshot/"));
}

/** As containerd names them: time in nanoseconds, a little chance, and what is being made. */
function extractKey(chainId: string): string {
  const nanos = BigInt(Date.now() % 1000) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
  return `extract-${nanos}-${randomBytes(3).toString("base64url")} ${chainId}`;
}
