/**
 * Reads the reference graph of a namespace over the API of any daemon.
 */
import type { CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import type { PluginStatus } from "@ctrd/core/plugin";
import type { SnapshotInfo } from "@ctrd/core/snapshots";
import type { Client } from "../client.ts";
import type { Abortable } from "../options.ts";
import { ReferenceGraph } from "./graph.ts";
import type { HeldObject, ReadingRules } from "./objects.ts";
import {
  containerObject,
  contentObject,
  imageObject,
  ingestObject,
  leaseObject,
  noteUse,
  objectKey,
  sandboxObject,
  snapshotObject,
} from "./objects.ts";

/** Options of {@link referenceGraph}. */
export interface ReferenceGraphOptions extends Abortable {
  /** The time at which things expire or not; now when absent. */
  readonly at?: Date;
}

/**
 * What keeps what in the namespace of `client`. It is read call by call: what changes meanwhile may or may not be in it.
 *
 * ```ts
 * const graph = await referenceGraph(client);
 * for (const chain of graph.holdersOf({ kind: "content", id: digest, snapshotter: "" })) show(chain);
 * ```
 */
export async function referenceGraph(client: Client, options: ReferenceGraphOptions = {}): Promise<ReferenceGraph> {
  const ctx = client.context(options);
  const { services } = client;
  const plugins = await services.introspectionService.plugins(ctx, []);
  const usedAt = new Map<string, number>();
  const nowMs = (options.at ?? new Date()).getTime();
  const rules: ReadingRules = { nowMs, usedAt, allLabels: await knowsAllLabels(client, ctx, plugins) };
  // Leases before and after everything else: what is being made is under one, and is not to be taken for garbage.
  const leasesBefore = await readLeases(client, ctx, rules);
  const images = await client.images.list(ctx, []);
  const containers = await services.containerService.list(ctx, []);
  const sandboxes = await unlessMissing(services.sandboxStore.list(ctx, []));
  const snapshots = await readSnapshots(client, ctx, plugins);
  for (const { snapshotter, info } of snapshots) noteUse(usedAt, snapshotter, info);
  const ingests = await client.content.listStatuses(ctx, []);
  const content = await Array.fromAsync(client.content.list(ctx, []));
  const leases = [...leasesBefore, ...(await readLeases(client, ctx, rules))];
  const leased = new Set(leases.flatMap(({ refs }) => refs.map(({ to }) => objectKey(to))));
  return new ReferenceGraph(client.namespace, [
    ...containers.map((container) => containerObject(container, rules)),
    ...images.map((image) => imageObject(image, rules)),
    ...leases,
    ...sandboxes.map((sandbox) => sandboxObject(sandbox, rules)),
    ...snapshots.map(({ snapshotter, info }) => snapshotObject(snapshotter, info, rules)),
    ...content.map((info) => contentObject(info, rules)),
    ...ingests.map((status) => {
      const isLeased = leased.has(objectKey({ kind: "ingest", id: status.ref, snapshotter: "" }));
      return ingestObject(status, isLeased, rules);
    }),
  ]);
}

/** ctrd and containerd from 1.7 on read all labels. */
async function knowsAllLabels(client: Client, ctx: CallContext, plugins: readonly PluginStatus[]): Promise<boolean> {
  if (plugins.some(({ source }) => source !== undefined)) return true;
  const { version } = await client.services.versionService.version(ctx);
  return !/^v?1\.[0-6]\./.test(version);
}

/** The snapshotters of a daemon that are in use. */
export function snapshotterNames(plugins: readonly PluginStatus[]): string[] {
  return plugins
    .filter(({ type, state }) => type === "io.containerd.snapshotter.v1" && state === "ok")
    .map(({ id }) => id);
}

async function readSnapshots(
  client: Client,
  ctx: CallContext,
  plugins: readonly PluginStatus[],
): Promise<{ snapshotter: string; info: SnapshotInfo }[]> {
  const all: { snapshotter: string; info: SnapshotInfo }[] = [];
  for (const snapshotter of snapshotterNames(plugins)) {
    for await (const info of client.snapshotter(snapshotter).walk(ctx, [])) all.push({ snapshotter, info });
  }
  return all;
}

async function readLeases(client: Client, ctx: CallContext, rules: ReadingRules): Promise<HeldObject[]> {
  const { leasesService } = client.services;
  const objects: HeldObject[] = [];
  for (const lease of await leasesService.list(ctx, [])) {
    const resources = await leasesService.listResources(ctx, lease.id).catch((error: unknown) => {
      if (isKind(error, "not-found")) return undefined;
      throw error;
    });
    if (resources !== undefined) objects.push(leaseObject(lease, resources, rules));
  }
  return objects;
}

async function unlessMissing<T>(list: Promise<T[]>): Promise<T[]> {
  try {
    return await list;
  } catch (error) {
    if (isKind(error, "not-implemented")) return [];
    throw error;
  }
}
