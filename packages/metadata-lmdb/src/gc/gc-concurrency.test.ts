// Collections while calls go on: nothing that a call has made reachable may be lost, whichever way the two interleave.
import { setImmediate, setTimeout } from "node:timers/promises";
import type { ContentWriter } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";
import { Pins } from "../db/pins.ts";

const root = { "containerd.io/gc.root": "x" };

/** Enough garbage that scan and sweep take several slices and transactions. */
async function makeGarbage(b: Bench, tag: string, count = 3000): Promise<void> {
  const writes: Promise<unknown>[] = [];
  for (let i = 0; i < count; i++) writes.push(b.blob(`garbage-${tag}-${i}`));
  await Promise.all(writes);
}

/** Runs `step` at each of `turns` turns of the event loop while a collection runs. */
async function during(b: Bench, step: (turn: number) => Promise<void>): Promise<number> {
  let done = false;
  let turns = 0;
  const steps: Promise<void>[] = [];
  const run = b.store.collectGarbage(b.ctx).finally(() => (done = true));
  while (!done) {
    steps.push(step(turns++));
    await setImmediate();
  }
  await run;
  await Promise.all(steps);
  return turns;
}

test("what is referred to during a collection survives it", async () => {
  const b = await Bench.open();
  await makeGarbage(b, "a");
  const kept: string[] = [];
  const chain = async (i: number): Promise<void> => {
    // A chain that nothing refers to, until this image does.
    const layer = digestOf(`garbage-a-${3 * i}`);
    const manifest = digestOf(`garbage-a-${3 * i + 1}`);
    const info = { digest: manifest, size: 0n, createdAt: undefined, updatedAt: undefined };
    try {
      await b.store.content.update(
        b.ctx,
        { ...info, labels: new Map([["containerd.io/gc.ref.content.l", layer]]) },
        [],
      );
      await b.image(`image-${i}`, manifest);
    } catch (error) {
      // The collection was there first.
      return expectKind(Promise.reject(error), "not-found");
    }
    kept.push(layer, manifest);
  };
  const turns = await during(b, (turn) => (turn < 900 ? chain(turn) : Promise.resolve()));
  expect(turns).toBeGreaterThan(3);
  expect(kept.length).toBeGreaterThan(0);
  // A label on content that the sweep has taken part of is possible only when the content itself was there: then
  // what it was written to refer to may be gone already. What both writes found must be there.
  const left = new Set(await b.digests());
  const manifests = kept.filter((_digest, i) => i % 2 === 1);
  expect(manifests.filter((digest) => !left.has(digest))).toEqual([]);
  for (const digest of left) expect(b.content.blobs.has(digest)).toBe(true);
  await b.collect();
  expect(new Set(await b.digests())).toEqual(new Set(kept.filter((digest) => left.has(digest))));
});

test("an object that comes back to life has all that it refers to, however far the sweep is", async () => {
  const b = await Bench.open();
  // One long chain: each blob refers to the one before.
  const length = 2000;
  let previous = "";
  for (let i = 0; i < length; i++) {
    previous = await b.blob(`link-${i}`, previous === "" ? {} : { "containerd.io/gc.ref.content": previous });
  }
  const revive = async (turn: number): Promise<void> => {
    const digest = digestOf(`link-${length - 1 - turn * 7}`);
    try {
      await b.store.content.info(b.ctx, digest);
    } catch (error) {
      return expectKind(Promise.reject(error), "not-found");
    }
    await b.image(`image-${turn}`, digest);
  };
  await during(b, (turn) => (turn % 3 === 2 && turn < 250 ? revive(turn) : Promise.resolve()));
  // Every blob that is left has its whole chain below it.
  const left = new Set(await b.digests());
  const numbers = Array.from({ length }, (_unused, i) => i).filter((i) => left.has(digestOf(`link-${i}`)));
  expect(numbers).toEqual(numbers.map((_unused, i) => i));
});

test("blobs and snapshots that are made under a lease during collections are never lost", async () => {
  const b = await Bench.open();
  await makeGarbage(b, "a", 500);
  const lease = await b.leased("l");
  const pull = async (i: number): Promise<void> => {
    const layer = await b.blob(`layer-${i}`, {}, lease);
    await b.blob(`manifest-${i}`, { "containerd.io/gc.ref.content.l.0": layer }, lease);
    await b.snapshot(`base-${i}`, "", {}, lease);
    await b.snapshot(`top-${i}`, `base-${i}`, {}, lease);
    await b.snapshotter.prepare(lease, `rw-${i}`, `top-${i}`);
    await b.container(`c-${i}`, `rw-${i}`);
    await b.image(`i-${i}`, digestOf(`manifest-${i}`));
  };
  let pulled = 0;
  let pulling = true;
  const pulls = (async () => {
    while (pulled < 40) await pull(pulled++);
    pulling = false;
  })();
  let collections = 0;
  while (pulling) {
    await b.collect();
    collections++;
  }
  await pulls;
  expect(collections).toBeGreaterThan(2);
  await b.store.leases.delete(b.ctx, "l");
  await b.collect();
  expect(await b.digests()).toHaveLength(80);
  expect(await b.keys()).toHaveLength(120);
  expect(b.content.blobs.size).toBe(80);
  expect(b.backend.snapshots.size).toBe(120);
});

/** Holds the backend's `operation` until the collection that starts then has finished. */
function collectDuring(b: Bench, backend: "content" | "backend", operation: string): { ran: () => boolean } {
  let ran = false;
  b[backend].hook = async (name) => {
    if (name !== operation || ran) return;
    ran = true;
    await b.collect();
  };
  return { ran: () => ran };
}

describe("a backend object whose metadata is about to be written survives", () => {
  const cases: [string, "content" | "backend", string, (b: Bench, ctx: CallContext) => Promise<unknown>][] = [
    ["an ingest being opened", "content", "writer", (b, ctx) => b.blob("a", {}, ctx)],
    ["a blob before its commit", "content", "commit", (b, ctx) => b.blob("a", {}, ctx)],
    ["a blob after its commit", "content", "committed", (b, ctx) => b.blob("a", {}, ctx)],
    ["a snapshot being prepared", "backend", "prepare", (b, ctx) => b.snapshot("s", "", {}, ctx)],
    ["a snapshot before its commit", "backend", "commit", (b, ctx) => b.snapshot("s", "", {}, ctx)],
    ["a snapshot after its commit", "backend", "committed", (b, ctx) => b.snapshot("s", "", {}, ctx)],
  ];
  test.each(cases)("%s", async (_name, backend, operation, call) => {
    const b = await Bench.open();
    const lease = await b.leased("l");
    const { ran } = collectDuring(b, backend, operation);
    await call(b, lease);
    expect(ran()).toBe(true);
    b[backend].hook = () => {};
    await b.collect();
    const digests = await b.digests();
    expect([digests, await b.keys()]).toEqual(backend === "content" ? [[digestOf("a")], []] : [[], ["s"]]);
    expect([...b.content.blobs.keys()]).toEqual(digests);
    expect(b.backendKeys()).toEqual(await b.keys());
  });

  test("also when the collection looks through the backends for the first time", async () => {
    const b = await Bench.open();
    const lease = await b.leased("l");
    b.backend.hook = async (name) => {
      if (name !== "committed") return;
      await b.collect();
      expect(b.backend.walks).toBe(1);
    };
    await b.snapshot("s", "", {}, lease);
    expect(b.backendKeys()).toEqual(["s"]);
  });
});

test("a commit of a blob that is being removed from the backend waits, and the blob is there afterwards", async () => {
  const b = await Bench.open();
  await b.blob("a");
  const deleting = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  b.content.hook = async (operation) => {
    if (operation !== "delete") return;
    deleting.resolve();
    await gate.promise;
  };
  const collection = b.collect();
  await deleting.promise;
  const write = b.blob("a", root);
  const share = b.store.content.writer(b.in("other"), { ref: "r", expected: digestOf("a") });
  // Long enough for the commit to go through, if nothing holds it up.
  await setTimeout(100);
  gate.resolve();
  await collection;
  await write;
  const writer = await share;
  await writer.close();
  expect(b.content.blobs.has(digestOf("a"))).toBe(true);
  await b.collect();
  expect(await b.digests()).toEqual([digestOf("a")]);
});

test("a snapshot that a collection takes before its commit is written fails the commit and leaves nothing", async () => {
  const b = await Bench.open();
  await b.snapshotter.prepare(b.ctx, "k", "");
  const { ran } = collectDuring(b, "backend", "committed");
  await expectKind(b.snapshotter.commit(b.ctx, "n", "k"), "not-found", 'snapshot "k"');
  expect(ran()).toBe(true);
  b.backend.hook = () => {};
  await b.collect();
  expect(b.backendKeys()).toEqual([]);
  expect(await b.keys()).toEqual([]);
});

test("calls are served while a large collection runs", async () => {
  const b = await Bench.open();
  await makeGarbage(b, "a", 6000);
  await b.image("i", await b.blob("a"));
  let done = false;
  const run = b.store.collectGarbage(b.ctx).finally(() => (done = true));
  const waits: number[] = [];
  while (!done) {
    const begin = performance.now();
    await setImmediate();
    await b.store.images.get(b.ctx, "i");
    waits.push(performance.now() - begin);
  }
  const { removed } = await run;
  expect(removed.get("content")).toBe(6000);
  expect(waits.length).toBeGreaterThan(10);
  const sorted = waits.sort((x, y) => x - y);
  // Slices are 5 ms; the rest is room for a busy machine.
  expect(sorted[Math.floor(sorted.length * 0.95)]).toBeLessThan(50);
});

test("leases that are created and filled during a collection count", async () => {
  const b = await Bench.open();
  await makeGarbage(b, "a", 2000);
  const kept: string[] = [];
  /** Opening a writer for a blob that exists puts it in the lease; otherwise the writer waits for an upload. */
  const take = async (turn: number): Promise<void> => {
    const digest = digestOf(`garbage-a-${turn * 4}`);
    const lease = await b.leased(`l${turn}`);
    let writer: ContentWriter;
    try {
      writer = await b.store.content.writer(lease, { ref: `r${turn}`, expected: digest });
    } catch (error) {
      kept.push(digest);
      return expectKind(Promise.reject(error), "already-exists");
    }
    await writer.close();
  };
  await during(b, (turn) => (turn <= 400 ? take(turn) : Promise.resolve()));
  expect(kept.length).toBeGreaterThan(0);
  const left = new Set(await b.digests());
  expect(kept.filter((digest) => !left.has(digest))).toEqual([]);
  await b.collect();
  expect(new Set(await b.digests())).toEqual(new Set(kept));
});

test("pins keep removals out, and wait for one that runs", async () => {
  const pins = new Pins();
  const unpin = await pins.pin("k");
  const second = await pins.pin("k");
  expect(pins.tryRemove("k")).toBeUndefined();
  unpin();
  unpin();
  expect(pins.tryRemove("k")).toBeUndefined();
  second();
  const removed = pins.tryRemove("k");
  expect(pins.tryRemove("k")).toBeUndefined();
  let pinned = false;
  const waiting = pins.pin("k").then((release) => {
    pinned = true;
    release();
  });
  await setImmediate();
  expect(pinned).toBe(false);
  removed?.();
  await waiting;
  expect(pinned).toBe(true);
});
