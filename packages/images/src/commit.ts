/**
 * Committing: a snapshot that was written to becomes an image.
 *
 * @module
 */
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { withoutCancellation } from "@ctrd/core/context";
import { digestOf } from "@ctrd/core/digests";
import type { Comparer } from "@ctrd/core/diff";
import { failedPrecondition, isKind, messageOf } from "@ctrd/core/errors";
import { hostPlatform } from "@ctrd/core/platforms";
import type { Descriptor, Labels } from "@ctrd/core/records";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { randomBytes } from "node:crypto";
import { readJson } from "./blobs.ts";
import { isObject } from "./descriptors.ts";
import type { Manifest } from "./documents.ts";
import { readRootfs } from "./documents.ts";
import { childLabels } from "./handlers.ts";
import { MediaType } from "./media-types.ts";
import { chainIds } from "./unpack.ts";

/** Options of {@link commitSnapshot}. */
export interface CommitSnapshotOptions {
  content: ContentStore;
  comparer: Comparer;
  snapshotter: Snapshotter;
  /** Name of the active snapshot. */
  key: string;
  /** The image that the snapshot was made of; without it the new one has a single layer. */
  base?: Manifest;
  author?: string;
  message?: string;
  /** Changes the execution parameters (`Cmd`, `Env` …) of the image. */
  configure?: (config: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
}

type Json = Readonly<Record<string, unknown>>;

const dockerLayer = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/**
 * Makes an image of a snapshot: the layers of its base, and what was written as one more. Its content is referenced by
 * nothing yet: the call needs a lease.
 *
 * @returns the descriptor of its manifest
 * @throws ContainerdError `not-found`, `failed-precondition` when the snapshot does not stand on the base
 */
export async function commitSnapshot(ctx: CallContext, options: CommitSnapshotOptions): Promise<Descriptor> {
  const { content, base } = options;
  const { parent } = await options.snapshotter.stat(ctx, options.key);
  const diffIds = base === undefined ? [] : (await readRootfs(ctx, content, base.config)).diffIds;
  if ((chainIds(diffIds).at(-1) ?? "") !== parent) {
    throw failedPrecondition(
      `commit snapshot "${options.key}": it stands on "${parent}", not on the layers of the image`,
    );
  }
  const isDocker = base?.config.mediaType === MediaType.DockerConfig;
  const layer = await layerOf(ctx, options, parent, isDocker ? dockerLayer : MediaType.OciLayerGzip);
  const added = (await content.info(ctx, layer.digest)).labels.get("containerd.io/uncompressed") ?? layer.digest;
  const old = base === undefined ? {} : await readJson(ctx, content, base.config);
  const config = await writeJson(
    ctx,
    content,
    isDocker ? MediaType.DockerConfig : MediaType.OciConfig,
    configOf(old, [...diffIds, added], options),
    new Map(),
  );
  const layers = [...(base?.layers ?? []), layer];
  const mediaType = isDocker ? MediaType.DockerManifest : MediaType.OciManifest;
  const manifest = { schemaVersion: 2, mediaType, config: plain(config), layers: layers.map(plain) };
  return writeJson(ctx, content, mediaType, manifest, childLabels([config, ...layers]));
}

/** Computes what was written to an active snapshot, as a layer. It is referenced by nothing yet: the call needs a lease. */
export async function layerOfSnapshot(
  ctx: CallContext,
  options: Pick<CommitSnapshotOptions, "snapshotter" | "comparer" | "key">,
): Promise<Descriptor> {
  const { parent } = await options.snapshotter.stat(ctx, options.key);
  return layerOf(ctx, options, parent, MediaType.OciLayerGzip);
}

/** Computes what was written on top of the parent. */
async function layerOf(
  ctx: CallContext,
  { snapshotter, comparer, key }: Pick<CommitSnapshotOptions, "snapshotter" | "comparer" | "key">,
  parent: string,
  mediaType: string,
): Promise<Descriptor> {
  const upper = await snapshotter.mounts(ctx, key);
  if (parent === "") return comparer.compare(ctx, [], upper, { mediaType });
  const view = `commit-${randomBytes(6).toString("hex")} ${key}`;
  const lower = await snapshotter.view(ctx, view, parent);
  try {
    return await comparer.compare(ctx, lower, upper, { mediaType });
  } finally {
    await snapshotter.remove(withoutCancellation(ctx), view).catch((error: unknown) => {
      ctx.log.warn({ key: view, err: messageOf(error) }, "cannot remove the view of a commit");
    });
  }
}

function configOf(old: Json, diffIds: readonly string[], options: CommitSnapshotOptions): Json {
  const { author, message, configure } = options;
  const { os, architecture, variant } = hostPlatform();
  const created = new Date().toISOString();
  const run = isObject(old["config"]) ? old["config"] : {};
  const history: unknown[] = Array.isArray(old["history"]) ? old["history"] : [];
  const entry = {
    created,
    created_by: "commit",
    ...(author === undefined ? {} : { author }),
    ...(message === undefined ? {} : { comment: message }),
  };
  return {
    os,
    architecture,
    ...(variant === "" || architecture === "arm64" ? {} : { variant }),
    ...old,
    created,
    ...(author === undefined ? {} : { author }),
    config: configure?.(run) ?? run,
    rootfs: { type: "layers", diff_ids: diffIds },
    history: [...history, entry],
  };
}

async function writeJson(
  ctx: CallContext,
  content: ContentStore,
  mediaType: string,
  json: unknown,
  labels: Labels,
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(json));
  const size = BigInt(bytes.length);
  const digest = digestOf(bytes);
  try {
    const writer = await content.writer(ctx, { ref: `commit-${digest}`, total: size, expected: digest });
    try {
      await writer.truncate(0n);
      await writer.write(bytes);
      await writer.commit(ctx, { size, expected: digest, labels });
    } finally {
      await writer.close();
    }
  } catch (error) {
    if (!isKind(error, "already-exists")) throw error;
  }
  return { mediaType, digest, size, annotations: new Map() };
}

/** A descriptor as documents have it. */
function plain({ mediaType, digest, size, annotations }: Descriptor): object {
  const entry = { mediaType, digest, size: Number(size) };
  return annotations.size === 0 ? entry : { ...entry, annotations: Object.fromEntries(annotations) };
}
