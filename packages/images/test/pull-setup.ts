/**
 * What tests of pulls need: a real registry, a proxy that breaks it, and the stores of a real daemon.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import { parseDigest } from "@ctrd/core/digests";
import { isKind } from "@ctrd/core/errors";
import type { Resolver } from "@ctrd/core/remotes";
import { createRegistryResolver, registryHosts } from "@ctrd/registry";
import {
  openChannel,
  proxyContentStore,
  proxyDiffer,
  proxyImages,
  proxyLeases,
  proxySnapshotter,
} from "@ctrd/services";
import type { BuiltImage, FaultProxy, TestDaemon, TestRegistry } from "@ctrd/testkit/fixtures";
import { buildImage, startCtrd, startFaultProxy, startRegistry } from "@ctrd/testkit/fixtures";
import type { PullOptions, PullStores } from "../src/index.ts";
import { pullImage } from "../src/index.ts";

/** Options of a pull; `packed` leaves it packed. */
export type PullMore = Partial<PullOptions> & { packed?: boolean };

/** A daemon that pulls from a registry through a proxy. */
export interface PullSetup extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly proxy: FaultProxy;
  readonly daemon: TestDaemon;
  readonly stores: PullStores;
  readonly resolver: Resolver;
  readonly ctx: CallContext;
  /** Pulls and unpacks, unless it is to stay packed. */
  pull(reference: string, more?: PullMore, signal?: AbortSignal): ReturnType<typeof pullImage>;
  /** Digests of all blobs, after a look that each has the digest it is stored under. */
  checkedDigests(): Promise<Set<string>>;
}

/** Starts all of it. */
export async function setUpPulls(): Promise<PullSetup> {
  const registry = await startRegistry();
  const proxy = await startFaultProxy(registry.host);
  const daemon = await startCtrd();
  const channel = openChannel(daemon.address);
  const ctx = createContext({ namespace: "default" });
  const stores: PullStores = {
    content: proxyContentStore(channel),
    images: proxyImages(channel),
    leases: proxyLeases(channel),
    snapshotters: { get: (name) => proxySnapshotter(channel, name) },
    applier: proxyDiffer(channel),
  };
  const resolver = createRegistryResolver({ hosts: registryHosts({ defaultScheme: "http", stallTimeoutMs: 1_000 }) });
  return {
    registry,
    proxy,
    daemon,
    stores,
    resolver,
    ctx,
    pull(reference, { packed = false, ...more } = {}, signal) {
      const call = createContext({ namespace: "default", ...(signal === undefined ? {} : { signal }) });
      return pullImage(call, stores, reference, {
        resolver,
        ...(packed ? {} : { unpack: { snapshotter: "overlayfs" } }),
        ...more,
      });
    },
    async checkedDigests() {
      const found = new Set<string>();
      for await (const { digest } of stores.content.list(ctx, [])) {
        if (await isRight(ctx, stores.content, digest)) found.add(digest);
      }
      return found;
    },
    async [Symbol.asyncDispose]() {
      channel.close();
      await daemon[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
}

/** Whether a blob is still there, with the digest it is stored under. */
async function isRight(ctx: CallContext, content: ContentStore, digest: string): Promise<boolean> {
  const { algorithm, hex } = parseDigest(digest);
  const hash = createHash(algorithm);
  try {
    const reader = await content.reader(ctx, digest);
    for (let at = 0n; at < reader.size; at += 1n << 20n) hash.update(await reader.read(at, 1 << 20));
    await reader.close();
  } catch (error) {
    // Collected since it was listed.
    if (isKind(error, "not-found")) return false;
    throw error;
  }
  if (hash.digest("hex") === hex) return true;
  throw new Error(`${digest} is stored with other bytes`);
}

let seed = 5_000;

/** An image that shares no layer with another. */
export function ownImage(layers: number, bytes = 200_000): Promise<BuiltImage> {
  const layer = () => ({ manyFiles: { count: 5, totalBytes: bytes, seed: seed++, prefix: `files${seed}` } });
  return buildImage({ layers: Array.from({ length: layers }, layer) });
}
