import { ImageDelete } from "@ctrd/api/events/image";
import { SnapshotRemove } from "@ctrd/api/events/snapshot";
import { expect, test } from "vitest";
import { all, Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";

const gc = (name: string): string => `containerd.io/gc.${name}`;
const past = "2020-01-01T00:00:00Z";
const a = digestOf("a");

test("counts what it removes and publishes snapshots and images, not content", async () => {
  const b = await Bench.open();
  await b.snapshot("s");
  await b.image("i", await b.blob("a"), { [gc("expire")]: past });
  await b.leased("l", { [gc("expire")]: past });
  await b.blob("b", {}, b.in("other"));
  b.events.length = 0;
  expect(await b.collect()).toEqual(
    new Map([
      ["snapshot", 1],
      ["image", 1],
      ["content", 2],
      ["lease", 1],
    ]),
  );
  const snapshot = b.events.find(({ topic }) => topic === "/snapshot/remove");
  expect(snapshot?.event.typeUrl).toBe("containerd.events.SnapshotRemove");
  expect(SnapshotRemove.decode(snapshot?.event.value as Uint8Array)).toEqual({ key: "s", snapshotter: "mem" });
  const image = b.events.find(({ topic }) => topic === "/images/delete");
  expect(image?.event.typeUrl).toBe("containerd.services.images.v1.ImageDelete");
  expect(ImageDelete.decode(image?.event.value as Uint8Array)).toEqual({ name: "i" });
  expect(b.events).toHaveLength(2);
  expect(b.events.every(({ namespace }) => namespace === "ns")).toBe(true);
});

test("a blob that another namespace keeps stays in the backend", async () => {
  const b = await Bench.open();
  await b.blob("a", { [gc("root")]: "x" }, b.in("other"));
  await b.blob("a");
  await b.collect();
  expect(await b.digests()).toEqual([]);
  expect(await b.digests(b.in("other"))).toEqual([a]);
  expect([...b.content.blobs.keys()]).toEqual([a]);
});

test("collections queue up, and closing ends the running one", async () => {
  const b = await Bench.open();
  for (let i = 0; i < 20; i++) await b.blob(`x${i}`);
  const runs = [b.collect(), b.collect(), b.collect()];
  expect((await Promise.all(runs)).map((removed) => removed.get("content") ?? 0)).toEqual([20, 0, 0]);
  const run = b.store.collectGarbage(b.ctx);
  run.catch(() => {});
  await b.store.close();
  await expect(run).rejects.toThrow();
  await b.reopen();
});

test("an aborted call gives up and lets the next collection work", async () => {
  const b = await Bench.open();
  await b.blob("a");
  const abort = new AbortController();
  abort.abort(new Error("gone"));
  await expect(b.store.collectGarbage({ ...b.ctx, signal: abort.signal })).rejects.toThrow("gone");
  expect(await b.collect()).toEqual(new Map([["content", 1]]));
});

test("tells of every write, and whether it may have made garbage; its own writes cause none", async () => {
  const b = await Bench.open();
  const seen: boolean[] = [];
  const dirtyOf = async (call: Promise<unknown>): Promise<boolean[]> => {
    seen.length = 0;
    await call;
    return [...seen];
  };
  const unsubscribe = b.store.onMutation((dirty) => seen.push(dirty));
  const { leases, images, containers, content } = b.store;
  expect(await dirtyOf(leases.create(b.ctx, { id: "l", labels: new Map() }))).toEqual([false]);
  const resource = { type: "images", id: "x" };
  expect(await dirtyOf(leases.addResource(b.ctx, "l", resource))).toEqual([false]);
  expect(await dirtyOf(leases.deleteResource(b.ctx, "l", resource))).toEqual([true]);
  expect(await dirtyOf(leases.delete(b.ctx, "l"))).toEqual([true]);
  await b.image("i", await b.blob("a"));
  await b.container("c");
  await b.snapshotter.prepare(b.ctx, "k", "");
  expect(await dirtyOf(images.delete(b.ctx, "i"))).toEqual([true]);
  expect(await dirtyOf(containers.delete(b.ctx, "c"))).toEqual([true]);
  expect(await dirtyOf(content.delete(b.ctx, a))).toEqual([true]);
  expect(await dirtyOf(b.snapshotter.remove(b.ctx, "k"))).toEqual([true]);
  await b.store.sandboxes.create(b.ctx, {
    ...{ sandboxId: "sb", sandboxer: "shim", runtime: undefined, spec: undefined },
    ...{ labels: new Map(), extensions: new Map(), createdAt: undefined, updatedAt: undefined },
  });
  expect(await dirtyOf(b.store.sandboxes.delete(b.ctx, "sb"))).toEqual([false]);
  expect(await dirtyOf(images.delete(b.ctx, "i").catch(() => {}))).toEqual([]);
  await b.blob("b");
  expect(await dirtyOf(b.collect())).toEqual([]);
  unsubscribe();
  expect(await dirtyOf(b.blob("d"))).toEqual([]);
});

test("walks remain correct after a collection that removed part of a chain", async () => {
  const b = await Bench.open();
  await b.snapshot("base");
  await b.snapshot("kept", "base", { [gc("root")]: "x" });
  await b.snapshot("gone", "base");
  await b.collect();
  await expectKind(b.snapshotter.remove(b.ctx, "base"), "failed-precondition");
  await b.snapshotter.remove(b.ctx, "kept");
  await b.snapshotter.remove(b.ctx, "base");
  expect(await all(b.snapshotter.walk(b.ctx, []))).toEqual([]);
});
