// Each label, root and edge: what is left after a collection.
import { describe, expect, test } from "vitest";
import { Bench } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";

const gc = (name: string): string => `containerd.io/gc.${name}`;
const past = "2020-01-01T00:00:00Z";
const future = "2120-01-01T00:00:00Z";
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();

/** A scene, and what is left of it after a collection. */
interface Case {
  name: string;
  build(b: Bench): Promise<unknown>;
  blobs?: string[];
  snapshots?: string[];
  images?: string[];
  leases?: string[];
}

const a = digestOf("a");
const b1 = digestOf("b");

const cases: Case[] = [
  { name: "nothing refers: all goes", build: async (b) => [await b.blob("a"), await b.snapshot("s")] },
  { name: "gc.root on content", build: (b) => b.blob("a", { [gc("root")]: "x" }), blobs: ["a"] },
  { name: "gc.root on a snapshot", build: (b) => b.snapshot("s", "", { [gc("root")]: "x" }), snapshots: ["s"] },
  {
    name: "content to content, content to snapshot",
    async build(b) {
      await b.blob("b");
      await b.snapshot("s");
      await b.blob("a", { [gc("root")]: "x", [gc("ref.content.l.0")]: b1, [gc("ref.snapshot.mem/x")]: "s" });
    },
    blobs: ["a", "b"],
    snapshots: ["s"],
  },
  {
    name: "a label to another snapshotter keeps nothing here",
    async build(b) {
      await b.snapshot("s");
      await b.blob("a", { [gc("root")]: "x", [gc("ref.snapshot.other")]: "s" });
    },
    blobs: ["a"],
  },
  {
    name: "a label is followed within its namespace only",
    async build(b) {
      await b.blob("b");
      await b.blob("a", { [gc("root")]: "x", [gc("ref.content")]: b1 }, b.in("other"));
    },
  },
  {
    name: "an image keeps its target, and what its labels name",
    async build(b) {
      await b.blob("a");
      await b.blob("b");
      await b.snapshot("s");
      await b.image("i", a, { [gc("ref.content")]: b1, [gc("ref.snapshot.mem")]: "s" });
    },
    blobs: ["a", "b"],
    snapshots: ["s"],
    images: ["i"],
  },
  {
    name: "a dead edge is no error",
    build: (b) => b.image("i", a, { [gc("ref.snapshot.mem")]: "none", [gc("ref.content")]: "no digest" }),
    images: ["i"],
  },
  {
    name: "an expired image goes, with what it kept",
    build: async (b) => b.image("i", await b.blob("a"), { [gc("expire")]: past }),
  },
  {
    name: "an image that expires later stays",
    build: async (b) => b.image("i", await b.blob("a"), { [gc("expire")]: future }),
    blobs: ["a"],
    images: ["i"],
  },
  {
    name: "an expiry that is no time is ignored",
    build: async (b) => b.image("i", await b.blob("a"), { [gc("expire")]: "tomorrow" }),
    blobs: ["a"],
    images: ["i"],
  },
  {
    name: "gc.expire says nothing of content and snapshots",
    async build(b) {
      await b.blob("a", { [gc("root")]: "x", [gc("expire")]: past });
      await b.snapshot("s", "", { [gc("root")]: "x", [gc("expire")]: past });
    },
    blobs: ["a"],
    snapshots: ["s"],
  },
  {
    name: "an expired image that something refers to stays",
    async build(b) {
      await b.image("i", await b.blob("a"), { [gc("expire")]: past });
      await b.container("c", "", { [gc("ref.image.x")]: "i" });
    },
    blobs: ["a"],
    images: ["i"],
  },
  {
    name: "an expired image stays with the parent that it names",
    async build(b) {
      await b.image("i", await b.blob("a"), { [gc("expire")]: past, [gc("bref.container")]: "c" });
      await b.image("j", await b.blob("b"), { [gc("expire")]: past, [gc("bref.container")]: "gone" });
      await b.container("c");
    },
    blobs: ["a"],
    images: ["i"],
  },
  {
    name: "a snapshot keeps its parents and what its labels name",
    async build(b) {
      await b.blob("a");
      await b.snapshot("base");
      await b.snapshot("middle", "base", { [gc("ref.content.x")]: a });
      await b.snapshot("top", "middle", { [gc("root")]: "x" });
      await b.snapshot("other", "middle");
    },
    blobs: ["a"],
    snapshots: ["base", "middle", "top"],
  },
  {
    name: "a container keeps its snapshot, and what its labels name",
    async build(b) {
      await b.blob("a");
      await b.snapshot("base");
      await b.snapshotter.prepare(b.ctx, "rw", "base");
      await b.container("c", "rw", { [gc("ref.content")]: a });
    },
    blobs: ["a"],
    snapshots: ["base", "rw"],
  },
  {
    name: "a sandbox keeps what its labels name",
    async build(b) {
      await b.snapshot("s");
      await b.image("i", await b.blob("a"), { [gc("expire")]: past });
      await b.store.sandboxes.create(b.ctx, {
        sandboxId: "sb",
        sandboxer: "shim",
        runtime: undefined,
        spec: undefined,
        labels: new Map([
          [gc("ref.snapshot.mem"), "s"],
          [gc("ref.image"), "i"],
        ]),
        extensions: new Map(),
        createdAt: undefined,
        updatedAt: undefined,
      });
    },
    blobs: ["a"],
    snapshots: ["s"],
    images: ["i"],
  },
  {
    name: "back references to a container, content, an image and a snapshot",
    async build(b) {
      await b.container("c");
      await b.blob("a", { [gc("bref.container.x")]: "c" });
      await b.blob("b", { [gc("bref.content")]: a });
      await b.image("i", a);
      await b.snapshot("s", "", { [gc("bref.image/x")]: "i" });
      await b.blob("d", { [gc("bref.snapshot.mem/x")]: "s" });
      await b.blob("e", { [gc("bref.content")]: digestOf("none") });
    },
    blobs: ["a", "b", "d"],
    snapshots: ["s"],
    images: ["i"],
  },
  {
    name: "a lease keeps what was made with it",
    async build(b) {
      const ctx = await b.leased("l");
      await b.blob("a", { [gc("ref.content")]: b1 }, ctx);
      await b.blob("b");
      await b.snapshot("s", "", {}, ctx);
      await b.snapshotter.prepare(ctx, "rw", "s");
      await b.image("i", digestOf("none"), { [gc("expire")]: past }, ctx);
    },
    blobs: ["a", "b"],
    snapshots: ["rw", "s"],
    images: ["i"],
    leases: ["l"],
  },
  {
    name: "an expired lease goes, with what it kept",
    async build(b) {
      const ctx = await b.leased("l", { [gc("expire")]: past });
      await b.blob("a", {}, ctx);
      await b.snapshot("s", "", {}, ctx);
    },
  },
  {
    name: "a lease that expires later stays",
    build: async (b) => b.blob("a", {}, await b.leased("l", { [gc("expire")]: future })),
    blobs: ["a"],
    leases: ["l"],
  },
  {
    name: "a flat lease keeps no labels' targets, but parents and image targets",
    async build(b) {
      const ctx = await b.leased("l", { [gc("flat")]: "x" });
      await b.blob("b");
      await b.blob("a", { [gc("ref.content")]: b1 }, ctx);
      await b.snapshot("base", "", { [gc("ref.content")]: b1 });
      await b.snapshot("s", "base", { [gc("ref.content")]: b1 }, ctx);
      await b.blob("d", { [gc("ref.content")]: b1 });
      await b.image("i", digestOf("d"), { [gc("expire")]: past, [gc("ref.content")]: b1 }, ctx);
    },
    blobs: ["a", "d"],
    snapshots: ["base", "s"],
    images: ["i"],
    leases: ["l"],
  },
  {
    name: "flat and full leases on one object: the full one counts",
    async build(b) {
      const flat = await b.leased("flat", { [gc("flat")]: "x" });
      await b.leased("full");
      await b.blob("b");
      await b.blob("a", { [gc("ref.content")]: b1 }, flat);
      await b.store.leases.addResource(b.ctx, "full", { type: "content", id: a });
    },
    blobs: ["a", "b"],
    leases: ["flat", "full"],
  },
  {
    name: "a resource taken out of its lease goes",
    async build(b) {
      const ctx = await b.leased("l");
      await b.blob("a", {}, ctx);
      await b.blob("b", {}, ctx);
      await b.store.leases.deleteResource(b.ctx, "l", { type: "content", id: a });
    },
    blobs: ["b"],
    leases: ["l"],
  },
  {
    name: "a condition that holds keeps the snapshot, one that does not lets it go",
    async build(b) {
      for (const [name, used] of [
        ["new", ago(60_000)],
        ["old", ago(7_200_000)],
        ["never", ""],
        ["bad", "soon"],
      ]) {
        await b.snapshot(name as string, "", { [gc("cond.value-usedat")]: used as string });
      }
      await b.image("i", a, {
        [gc("cond.snapshot.mem/1")]: "usedat<1h|new",
        [gc("cond.snapshot.mem/2")]: "usedat<1h|old",
        [gc("cond.snapshot.mem/3")]: "usedat<1h|never",
        [gc("cond.snapshot.mem/4")]: "usedat<1h|bad",
      });
    },
    snapshots: ["new"],
    images: ["i"],
  },
  {
    name: "conditions on content, alternatives, and only while the content is kept",
    async build(b) {
      const used = { [gc("cond.value-usedat")]: ago(7_200_000) };
      await b.snapshot("s", "", used);
      await b.snapshot("t", "", used);
      await b.blob("a", { [gc("root")]: "x", [gc("cond.snapshot/mem")]: "usedat<1m,usedat>1h|s" });
      await b.blob("b", { [gc("cond.snapshot/mem")]: "usedat>1h|t" });
    },
    blobs: ["a"],
    snapshots: ["s"],
  },
  {
    name: "a cycle of labels that nothing refers to goes",
    async build(b) {
      await b.blob("a", { [gc("ref.content")]: b1 });
      await b.blob("b", { [gc("ref.content")]: a });
    },
  },
];

describe("what is left after a collection", () => {
  test.each(cases)("$name", async ({ build, blobs = [], snapshots = [], images = [], leases = [] }) => {
    const b = await Bench.open();
    await build(b);
    await b.collect();
    expect((await b.digests()).sort()).toEqual(blobs.map(digestOf).sort());
    expect((await b.keys()).sort()).toEqual([...snapshots].sort());
    expect((await b.store.images.list(b.ctx, [])).map(({ name }) => name)).toEqual([...images].sort());
    expect((await b.store.leases.list(b.ctx, [])).map(({ id }) => id)).toEqual([...leases].sort());
    expect([...b.backend.snapshots.values()].map(({ name }) => name.split("/")[2]).sort()).toEqual(
      [...snapshots].sort(),
    );
    const other = await b.digests(b.in("other"));
    expect([...b.content.blobs.keys()].sort()).toEqual([...new Set([...blobs.map(digestOf), ...other])].sort());
    expect(b.content.ingests.size).toBe(0);
    // A second collection finds nothing to do.
    expect(await b.collect()).toEqual(new Map());
  });
});
