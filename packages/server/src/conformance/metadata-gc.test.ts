// Garbage collection over the real stores: what is on disk afterwards is exactly what is referred to.
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { openContentStore } from "@ctrd/content-local";
import type { CallContext } from "@ctrd/core/context";
import { createContext, withLease } from "@ctrd/core/context";
import type { MetadataStore } from "@ctrd/core/metadata";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { defaultGcSchedule, startGcScheduler } from "@ctrd/gc-scheduler";
import { openMetadataStore } from "@ctrd/metadata-lmdb";
import { openOverlaySnapshotter, probeOverlay } from "@ctrd/snapshot-overlayfs";
import { tempDir } from "@ctrd/testkit/fixtures";
import { expect, test } from "vitest";

const digestOf = (data: string): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;
const ctx = createContext({ namespace: "gc" });

interface World extends AsyncDisposable {
  metadata: MetadataStore;
  snapshotter: Snapshotter;
  /** Digests in the content store's directory, sorted. */
  blobs(): Promise<string[]>;
  ingests(): Promise<string[]>;
  /** Directories of snapshots. */
  layers(): Promise<string[]>;
}

async function openWorld(root: string): Promise<World> {
  const content = await openContentStore(join(root, "content"));
  const probe = probeOverlay(join(root, "overlayfs"));
  if (!probe.supported) throw new Error(`${probe.reason}; ${probe.remedy}`);
  const overlay = openOverlaySnapshotter(probe.root, { features: probe.features });
  const metadata = await openMetadataStore({
    root: join(root, "metadata"),
    content,
    snapshotters: new Map([["overlayfs", overlay]]),
  });
  return {
    metadata,
    snapshotter: metadata.snapshotters.get("overlayfs") as Snapshotter,
    blobs: async () => (await readdir(join(root, "content/blobs/sha256"))).map((hex) => `sha256:${hex}`).sort(),
    ingests: () => readdir(join(root, "content/ingest")),
    layers: () => readdir(join(root, "overlayfs/snapshots")),
    async [Symbol.asyncDispose]() {
      await metadata.close();
      await overlay.close();
      await content.close();
    },
  };
}

async function writeBlob(store: MetadataStore, call: CallContext, data: string, labels: Record<string, string> = {}) {
  const writer = await store.content.writer(call, { ref: `write-${data}`, total: BigInt(data.length) });
  await writer.write(Buffer.from(data));
  await writer.commit(call, { expected: digestOf(data), labels: new Map(Object.entries(labels)) });
  return digestOf(data);
}

/** Does what a pull does, under a lease: `layers` blobs and snapshots, config, manifest, image. */
async function pull({ metadata, snapshotter }: World, name: string, layers: number): Promise<void> {
  const lease = await metadata.leases.create(ctx, { id: "", labels: new Map() });
  const call = withLease(ctx, lease.id);
  const labels: Record<string, string> = {};
  let parent = "";
  for (let i = 0; i < layers; i++) {
    labels[`containerd.io/gc.ref.content.l.${i}`] = await writeBlob(metadata, call, `${name}-layer-${i}`);
    await snapshotter.prepare(call, `extract-${name}-${i}`, parent);
    await snapshotter.commit(call, `${name}-chain-${i}`, `extract-${name}-${i}`);
    parent = `${name}-chain-${i}`;
  }
  const gcRef = { "containerd.io/gc.ref.snapshot.overlayfs": parent };
  labels["containerd.io/gc.ref.content.config"] = await writeBlob(metadata, call, `${name}-config`, gcRef);
  const digest = await writeBlob(metadata, call, `${name}-manifest`, labels);
  const target = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1n, annotations: new Map() };
  await metadata.images.create(call, { name, labels: new Map(), target, createdAt: undefined, updatedAt: undefined });
  await metadata.leases.delete(ctx, lease.id);
}

const blobsOf = (name: string, layers: number): string[] =>
  [...Array.from({ length: layers }, (_unused, i) => `${name}-layer-${i}`), `${name}-config`, `${name}-manifest`].map(
    digestOf,
  );

test("pulled images stay, deleted ones go, from the disk too", async () => {
  await using dir = await tempDir("gc-");
  await using world = await openWorld(dir.path);
  const { metadata, snapshotter } = world;
  await Promise.all([pull(world, "one", 5), pull(world, "two", 3)]);
  await metadata.collectGarbage(ctx);
  expect(await world.blobs()).toEqual([...blobsOf("one", 5), ...blobsOf("two", 3)].sort());
  expect(await world.layers()).toHaveLength(8);
  await snapshotter.prepare(ctx, "rw", "two-chain-1");
  await metadata.containers.create(ctx, {
    id: "c",
    labels: new Map(),
    image: "two",
    runtime: { name: "rt", options: undefined },
    spec: { typeUrl: "spec", value: Uint8Array.of(1) },
    snapshotter: "overlayfs",
    snapshotKey: "rw",
    createdAt: undefined,
    updatedAt: undefined,
    extensions: new Map(),
    sandbox: "",
  });
  await metadata.images.delete(ctx, "two");
  const { removed } = await metadata.collectGarbage(ctx);
  expect(removed).toEqual(
    new Map([
      ["content", 5],
      ["snapshot", 1],
    ]),
  );
  expect(await world.blobs()).toEqual(blobsOf("one", 5).sort());
  // The layers of "one", and the container's with its two parents.
  expect(await world.layers()).toHaveLength(5 + 3);
  await metadata.containers.delete(ctx, "c");
  await metadata.images.delete(ctx, "one");
  await metadata.collectGarbage(ctx);
  expect(await world.blobs()).toEqual([]);
  expect(await world.layers()).toEqual([]);
  expect(await world.ingests()).toEqual([]);
  await metadata.namespaces.delete(ctx, "gc");
});

test("the scheduler cleans up after deletions, and never takes from a pull that runs", async () => {
  await using dir = await tempDir("gc-");
  await using world = await openWorld(dir.path);
  const { metadata } = world;
  const scheduler = startGcScheduler(metadata, { ...defaultGcSchedule, deletionThreshold: 1 });
  try {
    for (let i = 0; i < 6; i++) {
      await Promise.all([pull(world, `image-${i}`, 4), pull(world, `kept-${i}`, 2)]);
      await metadata.images.delete(ctx, `image-${i}`);
    }
    await scheduler.scheduleAndWait(ctx);
    const kept = Array.from({ length: 6 }, (_unused, i) => blobsOf(`kept-${i}`, 2)).flat();
    expect(await world.blobs()).toEqual(kept.sort());
    expect(await world.layers()).toHaveLength(12);
    for (let i = 0; i < 6; i++) expect((await world.snapshotter.stat(ctx, `kept-${i}-chain-1`)).parent).not.toBe("");
  } finally {
    await scheduler.stop();
  }
});

test("what a crash left in the backends goes with the first collection", async () => {
  await using dir = await tempDir("gc-");
  {
    await using world = await openWorld(dir.path);
    await pull(world, "kept", 2);
  }
  const content = await openContentStore(join(dir.path, "content"));
  const writer = await content.writer(ctx, { ref: "gc/9/stray" });
  await writer.write(Buffer.from("stray"));
  await writer.commit(ctx);
  const ingest = await content.writer(ctx, { ref: "gc/10/half" });
  await ingest.write(Buffer.from("half"));
  await ingest.close();
  await content.close();
  const probe = probeOverlay(join(dir.path, "overlayfs"));
  if (!probe.supported) throw new Error(probe.reason);
  const overlay = openOverlaySnapshotter(probe.root, { features: probe.features });
  await overlay.prepare(ctx, "gc/11/a", "");
  await overlay.commit(ctx, "gc/12/b", "gc/11/a");
  await overlay.prepare(ctx, "gc/13/c", "gc/12/b");
  await overlay.close();
  await using world = await openWorld(dir.path);
  await world.metadata.collectGarbage(ctx);
  expect(await world.blobs()).toEqual(blobsOf("kept", 2).sort());
  expect(await world.ingests()).toEqual([]);
  expect(await world.layers()).toHaveLength(2);
});
