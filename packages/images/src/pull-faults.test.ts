// Whole pulls and pushes between a real daemon and a real registry that misbehaves.
import { createHash, randomInt } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Descriptor } from "@ctrd/core/records";
import type { Fetcher, TransferProgress } from "@ctrd/core/remotes";
import { openChannel, proxyContentStore } from "@ctrd/services";
import type { BuiltImage, Fault, SeenRequest } from "@ctrd/testkit/fixtures";
import {
  buildImage,
  buildIndex,
  hostPlatform,
  jsonBlob,
  layeredImage,
  memoryBlob,
  pushImage,
} from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { PullSetup } from "../test/pull-setup.ts";
import { ownImage, setUpPulls } from "../test/pull-setup.ts";
import { anyPlatform, fetchContent, matchPlatform, pushContent, unpackLayers } from "./index.ts";

let s: PullSetup;

beforeAll(async () => {
  s = await setUpPulls();
});
afterEach(() => s.proxy.onRequest(() => undefined));
afterAll(() => s?.[Symbol.asyncDispose]());

let count = 0;
/** Pushes an image behind the proxy. */
async function offer(image: Parameters<typeof pushImage>[3]): Promise<string> {
  const repository = `faults/image${count++}`;
  await pushImage(s.registry, repository, "1", image);
  return `${s.proxy.host}/${repository}:1`;
}
const layerOf = (image: BuiltImage, index = 0): string => image.layers[index]?.descriptor.digest ?? "";
const on = (part: string, fault: Fault, times = Infinity) =>
  s.proxy.onRequest(({ url }: SeenRequest, seen: number) => (url.includes(part) && seen < times ? fault : undefined));
const ingests = () => s.stores.content.listStatuses(s.ctx, []);

describe("a pull from a registry that fails once", () => {
  const faults: [string, () => Fault][] = [
    ["resets at a random byte", () => ({ resetAfter: randomInt(1, 150_000) })],
    ["stalls at a random byte", () => ({ stallAfter: randomInt(1, 150_000) })],
    ["ends at a random byte", () => ({ truncateAfter: randomInt(0, 150_000) })],
    ["is overloaded", () => ({ status: 503 })],
    ["fails", () => ({ status: 500 })],
    ["asks to wait", () => ({ status: 429, headers: { "retry-after": "1" } })],
    ["sends it to another host", () => ({ redirectTo: s.registry.url })],
  ];
  it.each(faults)("%s: all comes, and every blob is right", async (_name, fault) => {
    const image = await ownImage(2);
    const reference = await offer(image);
    on("faults/", fault(), 1);
    await s.pull(reference);
    const there = await s.checkedDigests();
    for (const { descriptor } of [image.root, ...image.blobs]) expect(there).toContain(descriptor.digest);
    expect(await ingests()).toEqual([]);
  });

  it.each(["manifest", "config", "layer"])(
    "changes a byte of a %s: one clear error, and nothing is kept",
    async (what) => {
      const image = await ownImage(2);
      const reference = await offer(image);
      const { digest } = { manifest: image.root, config: image.config, layer: image.layers[1] }[what]?.descriptor ?? {
        digest: "",
      };
      // By its bytes: what a host says of itself may be as wrong.
      s.proxy.onRequest(({ method, url }) => (method === "GET" && url.includes(digest) ? { flipAt: 30 } : undefined));
      await expect(s.pull(reference)).rejects.toMatchObject({
        kind: "failed-precondition",
        message: expect.stringContaining(digest),
      });
      expect(await s.checkedDigests()).not.toContain(digest);
      expect((await ingests()).map(({ ref }) => ref)).not.toContain(`${what}-${digest}`);
      s.proxy.onRequest(() => undefined);
      await s.pull(reference);
    },
  );
});

describe("a pull that fails for good", () => {
  it("ends at once with the error of what failed, though other layers still come", async () => {
    const image = await ownImage(3);
    const reference = await offer(image);
    const [stalls, fails] = [layerOf(image, 0), layerOf(image, 2)];
    s.proxy.onRequest(({ url }) => {
      if (url.includes(stalls)) return { stallAfter: 100 };
      return url.includes(fails) ? { status: 404 } : undefined;
    });
    const began = performance.now();
    for (const packed of [false, true]) {
      await expect(s.pull(reference, { packed })).rejects.toMatchObject({
        kind: "not-found",
        message: expect.stringContaining(fails),
      });
    }
    // The stall alone would take longer, five times over.
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(await s.stores.leases.list(s.ctx, [])).toEqual([]);
  });

  it("because an index has nothing for the platform", async () => {
    const other = await buildImage({
      layers: [{ entries: [{ path: "a", data: "other" }] }],
      platform: { os: "linux", architecture: "s390x" },
    });
    const reference = await offer(buildIndex([other]));
    await expect(s.pull(reference)).rejects.toMatchObject({
      kind: "not-found",
      message: expect.stringMatching(/platform/),
    });
    await expect(s.stores.images.get(s.ctx, reference)).rejects.toMatchObject({ kind: "not-found" });
  });

  it("because the content store is gone, instead of waiting for it for ever", async () => {
    const gone = proxyContentStore(openChannel(`${s.daemon.address}.gone`));
    const descriptor: Descriptor = {
      mediaType: "x/y",
      digest: `sha256:${"0".repeat(64)}`,
      size: 1n,
      annotations: new Map(),
    };
    const fetcher = {} as Fetcher;
    await expect(fetchContent(s.ctx, descriptor, { content: gone, fetcher })).rejects.toMatchObject({
      kind: "unavailable",
    });
  });
});

describe("a pull is left within a second", () => {
  const canceled = async (pulling: (signal: AbortSignal) => Promise<unknown>, afterMs: number, leases = 0) => {
    const abort = new AbortController();
    const ended = pulling(abort.signal).then(
      () => "done",
      (error: unknown) => error,
    );
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    const began = performance.now();
    abort.abort();
    expect(await ended).not.toBe("done");
    expect(performance.now() - began).toBeLessThan(1_000);
    expect((await s.stores.leases.list(s.ctx, [])).length).toBe(leases);
  };

  it.each([
    ["resolving", () => "manifests/1"],
    ["at the manifest", (image: BuiltImage) => image.root.descriptor.digest],
    ["at the configuration", (image: BuiltImage) => image.config.descriptor.digest],
    ["at a layer", (image: BuiltImage) => layerOf(image, 1)],
  ])("%s", async (_name, part) => {
    const image = await ownImage(2);
    const reference = await offer(image);
    // What does not answer at all.
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    try {
      on(part(image), { redirectTo: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` });
      await canceled((signal) => s.pull(reference, {}, signal), 300);
    } finally {
      silent.closeAllConnections();
      await new Promise((resolve) => silent.close(resolve));
    }
    s.proxy.onRequest(() => undefined);
    await s.pull(reference);
  });

  it("waiting between retries", async () => {
    const reference = await offer(await ownImage(1));
    on("manifests/1", { status: 429, headers: { "retry-after": "9" } });
    await canceled((signal) => s.pull(reference, {}, signal), 300);
  });

  it("waiting for another pull of the same image, which goes on", async () => {
    const image = await ownImage(1);
    const reference = await offer(image);
    on(layerOf(image), { stallAfter: 100 }, 1);
    const seen: TransferProgress[] = [];
    const first = s.pull(reference);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const progress = (one: TransferProgress): void => void seen.push(one);
    await canceled((signal) => s.pull(reference, { progress }, signal), 300, 1);
    expect(seen.map(({ stage }) => stage)).toContain("waiting");
    await first;
  });

  it("unpacking, and leaves no snapshot that is begun", async () => {
    const image = await buildImage({
      layers: [{ manyFiles: { count: 15_000, totalBytes: 15_000_000, seed: 77, prefix: "many" } }],
    });
    const reference = await offer(image);
    const abort = new AbortController();
    const pulling = s.pull(
      reference,
      { progress: ({ stage }) => void (stage === "extracting" && setTimeout(() => abort.abort(), 150)) },
      abort.signal,
    );
    const began = Promise.withResolvers<number>();
    abort.signal.addEventListener("abort", () => began.resolve(performance.now()));
    await expect(pulling).rejects.toThrow();
    expect(performance.now() - (await began.promise)).toBeLessThan(1_000);
    const snapshots = await s.daemon.ctr(["snapshots", "ls"]);
    expect(snapshots.stdout).not.toContain("extract-");
    await s.pull(reference);
  });
});

describe("pulls at once", () => {
  it("of one image through one daemon: each blob is fetched once", async () => {
    const image = await ownImage(3);
    const reference = await offer(image);
    const before = s.proxy.requests.length;
    await Promise.all(Array.from({ length: 4 }, () => s.pull(reference)));
    const asked = s.proxy.requests.slice(before).filter(({ method }) => method === "GET");
    expect(asked.length).toBe(new Set(asked.map(({ url }) => url)).size);
    expect(asked.length).toBe(5);
    expect((await s.daemon.ctr(["snapshots", "ls"])).stdout).not.toContain("extract-");
  });
});

describe("what is pulled", () => {
  it("of manifests that share a configuration: all layers of all", async () => {
    const entries = [{ path: "same", data: "shared configuration" }];
    const gzip = await buildImage({ layers: [{ entries }] });
    const zstd = await buildImage({ layers: [{ entries }], compression: "zstd" });
    expect(zstd.config.descriptor.digest).toBe(gzip.config.descriptor.digest);
    const reference = await offer(buildIndex([gzip, zstd]));
    await s.pull(reference, { manifestLimit: 0 });
    const there = await s.checkedDigests();
    // The second is unpacked already when the first is, so one of them need not come.
    expect([gzip, zstd].some((image) => there.has(layerOf(image)))).toBe(true);
    expect((await s.daemon.ctr(["snapshots", "ls"])).stdout).toContain(gzip.layers[0]?.diffId);
    await s.pull(reference, { manifestLimit: 0, packed: true });
  });

  it("for one platform to unpack and others to keep, or only their metadata", async () => {
    const image = (architecture: string, data: string) =>
      buildImage({ layers: [{ entries: [{ path: "p", data }] }], platform: { os: "linux", architecture } });
    const mine = await image(hostPlatform().architecture, `mine ${count}`);
    const other = await image("s390x", `other ${count}`);
    const platform = matchPlatform({ ...hostPlatform(), variant: "", osVersion: "" });
    const reference = await offer(buildIndex([other, mine]));
    await s.pull(reference, { platform, manifestLimit: 0, allMetadata: true });
    let there = await s.checkedDigests();
    expect(there).toContain(other.config.descriptor.digest);
    expect(there).not.toContain(layerOf(other));
    await s.pull(reference, {
      platform: anyPlatform,
      manifestLimit: 0,
      unpack: { snapshotter: "overlayfs", platform },
    });
    there = await s.checkedDigests();
    expect(there).toContain(layerOf(other));
    const snapshots = (await s.daemon.ctr(["snapshots", "ls"])).stdout;
    expect(snapshots).toContain(mine.layers[0]?.diffId);
    expect(snapshots).not.toContain(other.layers[0]?.diffId);
  });

  it("with digests of another algorithm", async () => {
    const offered = async (data: string): Promise<[reference: string, digest: string]> => {
      const plain = await buildImage({ layers: [{ entries: [{ path: "sha512", data }] }], compression: "none" });
      const [layer] = plain.layers;
      const bytes = (await layer?.bytes()) ?? Buffer.alloc(0);
      const digest = `sha512:${createHash("sha512").update(bytes).digest("hex")}`;
      const { mediaType = "" } = layer?.descriptor ?? {};
      const named = { ...memoryBlob(mediaType, bytes), descriptor: { mediaType, digest, size: bytes.length } };
      const type = plain.root.descriptor.mediaType;
      const layers = [named.descriptor];
      const manifest = { schemaVersion: 2, mediaType: type, config: plain.config.descriptor, layers };
      return [await offer({ root: jsonBlob(type, manifest), blobs: [named, plain.config] }), digest];
    };
    const [good, digest] = await offered("good");
    await s.pull(good);
    expect(await s.checkedDigests()).toContain(digest);
    const [bad, other] = await offered("bad");
    on(other, { flipAt: 3 });
    await expect(s.pull(bad)).rejects.toMatchObject({
      kind: "failed-precondition",
      message: expect.stringContaining(other),
    });
    expect(await s.checkedDigests()).not.toContain(other);
  });

  it("JS-prototype: with labels and annotations that are named like an object's own parts", async () => {
    const entries = [{ path: "proto", data: "proto" }];
    const annotations = JSON.parse(
      '{"__proto__": "a", "constructor": "b", "containerd.io/snapshot/__proto__": "c"}',
    ) as Record<string, string>;
    const image = await buildImage({ layers: [{ entries }], annotations });
    const labels = new Map([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
    const pulled = await s.pull(await offer(image), { labels });
    expect(pulled.labels).toEqual(labels);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  it("is refused when it does not unpack to what the configuration says", async () => {
    const [one, two] = [await layeredImage(1), await ownImage(1)];
    const type = one.root.descriptor.mediaType;
    const layers = two.layers.map(({ descriptor }) => descriptor);
    const manifest = { schemaVersion: 2, mediaType: type, config: one.config.descriptor, layers };
    const reference = await offer({ root: jsonBlob(type, manifest), blobs: [...two.blobs, one.config] });
    await expect(s.pull(reference, { unpack: { snapshotter: "native" } })).rejects.toMatchObject({
      kind: "failed-precondition",
      message: expect.stringContaining(layerOf(two)),
    });
    const config = { mediaType: "", digest: one.config.descriptor.digest, size: 1n, annotations: new Map() };
    const options = { ...s.stores, snapshotter: s.stores.snapshotters.get("native"), snapshotterName: "native" };
    await expect(unpackLayers(s.ctx, config, [], ["sha256:1"], options)).rejects.toThrow("1 diff ids");
  });
});

describe("a push to a registry that fails once", () => {
  const faults: [string, Fault][] = [
    ["loses the connection", { resetAfter: 0 }],
    ["fails", { status: 500 }],
    ["is busy", { status: 429, headers: { "retry-after": "1" } }],
    ["refuses an expired token", { status: 401, headers: { "www-authenticate": "Bearer realm=x" } }],
  ];
  it.each(faults)("%s in the middle of an upload: it is begun anew", async (_name, fault) => {
    const image = await ownImage(2);
    const { target } = await s.pull(await offer(image));
    s.proxy.onRequest(({ method }, seen) => (method === "PUT" && seen === 0 ? fault : undefined));
    const reference = `${s.proxy.host}/pushed/image${count++}:1`;
    const pusher = await s.resolver.pusher(s.ctx, `${reference}@${target?.digest}`);
    if (target === undefined) throw new Error("the image points at nothing");
    await pushContent(s.ctx, target, { content: s.stores.content, pusher });
    s.proxy.onRequest(() => undefined);
    expect((await s.resolver.resolve(s.ctx, reference)).target.digest).toBe(target.digest);
  });

  it("gives only what is pushed itself the tag", async () => {
    const images = await Promise.all(
      ["amd64", "arm64"].map((architecture) =>
        buildImage({
          layers: [{ entries: [{ path: "a", data: architecture }] }],
          platform: { os: "linux", architecture },
        }),
      ),
    );
    const { target } = await s.pull(await offer(buildIndex(images)), {
      platform: anyPlatform,
      manifestLimit: 0,
      packed: true,
    });
    if (target === undefined) throw new Error("the image points at nothing");
    const before = s.proxy.requests.length;
    const pusher = await s.resolver.pusher(s.ctx, `${s.proxy.host}/pushed/index:1@${target.digest}`);
    await pushContent(s.ctx, target, { content: s.stores.content, pusher });
    const puts = s.proxy.requests
      .slice(before)
      .filter(({ method, url }) => method === "PUT" && url.includes("manifests"));
    expect(puts.map(({ url }) => url.split("/").at(-1)).sort()).toEqual(
      ["1", ...images.map(({ root }) => root.descriptor.digest)].sort(),
    );
  });
});
