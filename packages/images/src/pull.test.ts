// Pulls and pushes between real registries and a real daemon.
import { createContext } from "@ctrd/core/context";
import type { Resolver, TransferProgress } from "@ctrd/core/remotes";
import { createRegistryResolver, registryHosts } from "@ctrd/registry";
import type { RpcChannel } from "@ctrd/services";
import {
  openChannel,
  proxyContentStore,
  proxyDiffer,
  proxyImages,
  proxyLeases,
  proxySnapshotter,
} from "@ctrd/services";
import type { FaultProxy, TestDaemon, TestRegistry } from "@ctrd/testkit/fixtures";
import { buildImage, busyboxImage, pushImage, startCtrd, startFaultProxy, startRegistry } from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { PullOptions, PullStores } from "./index.ts";
import { pullImage, pushContent } from "./index.ts";

const ctx = createContext({ namespace: "default" });
let registry: TestRegistry;
let proxy: FaultProxy;
let daemon: TestDaemon;
let channel: RpcChannel;
let stores: PullStores;
let resolver: Resolver;

beforeAll(async () => {
  registry = await startRegistry();
  proxy = await startFaultProxy(registry.host);
  daemon = await startCtrd();
  channel = openChannel(daemon.address);
  stores = {
    content: proxyContentStore(channel),
    images: proxyImages(channel),
    leases: proxyLeases(channel),
    snapshotters: { get: (name) => proxySnapshotter(channel, name) },
    applier: proxyDiffer(channel),
  };
  resolver = createRegistryResolver({ hosts: registryHosts({ defaultScheme: "http", stallTimeoutMs: 2_000 }) });
});
afterEach(() => proxy.onRequest(() => undefined));
afterAll(async () => {
  channel?.close();
  await daemon?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

const pull = (reference: string, more: Partial<PullOptions> = {}) =>
  pullImage(ctx, stores, reference, { resolver, unpack: { snapshotter: "overlayfs" }, ...more });

let images = 0;
/** An image that shares no layer with another. */
const ownImage = (layers: number) =>
  buildImage({
    layers: Array.from({ length: layers }, () => ({
      manyFiles: { count: 5, totalBytes: 200_000, seed: 1000 + images++, prefix: `files${images}` },
    })),
  });

async function digests(): Promise<Set<string>> {
  const found = new Set<string>();
  for await (const { digest } of stores.content.list(ctx, [])) found.add(digest);
  return found;
}

describe("pullImage", () => {
  it("makes an image that ctr runs, and tells what it does", async () => {
    await pushImage(registry, "test/busybox", "1", await busyboxImage());
    const seen: TransferProgress[] = [];
    const reference = `${registry.host}/test/busybox:1`;
    const image = await pull(reference, { progress: (progress) => seen.push(progress), labels: new Map([["a", "b"]]) });
    expect(image).toMatchObject({ name: reference, labels: new Map([["a", "b"]]) });
    const ran = await daemon.ctr(["run", "--rm", reference, "one", "echo", "hello"]);
    expect(ran).toMatchObject({ exitCode: 0, stdout: "hello\n" });
    const stages = seen.map(({ stage }) => stage);
    expect(stages.slice(0, 2)).toEqual(["resolving", "resolved"]);
    for (const stage of ["downloading", "complete", "extracting", "extracted"]) expect(stages).toContain(stage);
    expect(stages.at(-1)).toBe("saved");
    expect(seen.find(({ stage }) => stage === "complete")?.served?.host).toBe(registry.host);
    expect((await daemon.ctr(["images", "check", `name==${reference}`])).stdout).toContain("complete (2/2)");
    expect(await stores.leases.list(ctx, [])).toEqual([]);
    seen.length = 0;
    await pull(reference, { progress: (progress) => seen.push(progress) });
    expect(seen.some(({ stage }) => stage === "downloading" || stage === "extracting")).toBe(false);
  });

  it("keeps all of it through a collection, and nothing of a removed image", async () => {
    const image = await ownImage(3);
    const reference = await pushImage(registry, "test/three", "1", image);
    await pull(reference);
    const mine = [image.root, ...image.blobs].map(({ descriptor }) => descriptor.digest);
    await daemon.ctr(["images", "rm", "--sync", "none"]);
    for (const digest of mine) expect(await digests()).toContain(digest);
    await daemon.ctr(["images", "rm", "--sync", reference]);
    const left = await digests();
    for (const digest of mine) expect(left).not.toContain(digest);
  });

  it("stores nothing under a digest that it does not have", async () => {
    const image = await ownImage(1);
    await pushImage(registry, "test/flipped", "1", image);
    const layer = image.layers[0]?.descriptor.digest ?? "";
    proxy.onRequest(({ url }) => (url.includes(layer) ? { flipAt: 20 } : undefined));
    await expect(pull(`${proxy.host}/test/flipped:1`)).rejects.toMatchObject({
      kind: "failed-precondition",
      message: expect.stringContaining(layer),
    });
    expect(await digests()).not.toContain(layer);
    expect(await stores.content.listStatuses(ctx, [])).toEqual([]);
    proxy.onRequest(() => undefined);
    await pull(`${proxy.host}/test/flipped:1`);
    expect(await digests()).toContain(layer);
  });

  it("is left within a second, and goes on where it was", async () => {
    const image = await ownImage(1);
    await pushImage(registry, "test/stalls", "1", image);
    const layer = image.layers[0]?.descriptor.digest ?? "";
    proxy.onRequest(({ url }) => (url.includes(layer) ? { stallAfter: 100 } : undefined));
    const abort = new AbortController();
    const call = createContext({ namespace: "default", signal: abort.signal });
    const options = { resolver, unpack: { snapshotter: "overlayfs" } };
    const pulling = pullImage(call, stores, `${proxy.host}/test/stalls:1`, options);
    setTimeout(() => abort.abort(), 700);
    const began = performance.now();
    await expect(pulling).rejects.toThrow();
    expect(performance.now() - began).toBeLessThan(1_700);
    proxy.onRequest(() => undefined);
    await pull(`${proxy.host}/test/stalls:1`);
  });
});

describe("pushContent", () => {
  it("pushes what another pulls", async () => {
    const image = await ownImage(2);
    await pushImage(registry, "test/source", "1", image);
    const { target } = await pull(`${registry.host}/test/source:1`);
    const other = await startRegistry();
    try {
      const seen: TransferProgress[] = [];
      const push = async (repository: string): Promise<void> => {
        const pusher = await resolver.pusher(ctx, repository);
        const progress = (one: TransferProgress): void => void seen.push(one);
        await pushContent(ctx, target as NonNullable<typeof target>, { content: stores.content, pusher, progress });
      };
      await push(`${other.host}/test/target:2`);
      const again = await resolver.resolve(ctx, `${other.host}/test/target:2`);
      expect(again.target.digest).toBe(image.root.descriptor.digest);
      expect(seen.filter(({ stage }) => stage === "complete").length).toBe(4);
      seen.length = 0;
      await push(`${registry.host}/test/mounted:2`);
      const stages = seen.map(({ stage, name }) => `${stage} ${name.split("-")[0]}`).sort();
      expect(stages).toEqual([
        "complete manifest",
        "mounted config",
        "mounted layer",
        "mounted layer",
        "uploading manifest",
      ]);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });
});
