import { timestampFromMillis } from "@ctrd/core/records";
import { describe, expect, it } from "vitest";
import { ReferenceGraph } from "./graph.ts";
import type { HeldObject, ObjectId, ReadingRules } from "./objects.ts";
import { contentObject, imageObject, ingestObject, leaseObject, noteUse, snapshotObject } from "./objects.ts";

const gc = (name: string): string => `containerd.io/gc.${name}`;
const now = Date.parse("2026-06-01T00:00:00Z");
const iso = (offset: number): string => new Date(now + offset).toISOString();
const times = { createdAt: timestampFromMillis(now - 60_000), updatedAt: timestampFromMillis(now - 60_000) };

/** Makes objects and the graph of them. */
class Bench {
  readonly objects: HeldObject[] = [];
  readonly usedAt = new Map<string, number>();
  readonly rules: ReadingRules;

  constructor(allLabels = true) {
    this.rules = { nowMs: now, allLabels, usedAt: this.usedAt };
  }

  content(digest: string, labels: Record<string, string> = {}): void {
    const info = { digest, size: 1n, labels: new Map(Object.entries(labels)), ...times };
    this.objects.push(contentObject(info, this.rules));
  }

  snapshot(name: string, parent = "", labels: Record<string, string> = {}): void {
    const info = { name, parent, kind: 3 as const, labels: new Map(Object.entries(labels)), ...times };
    noteUse(this.usedAt, "s", info);
    this.objects.push(snapshotObject("s", info, this.rules));
  }

  image(name: string, digest: string, labels: Record<string, string> = {}): void {
    const target = { digest, mediaType: "m", size: 1n, annotations: new Map<string, string>() };
    this.objects.push(imageObject({ name, target, labels: new Map(Object.entries(labels)), ...times }, this.rules));
  }

  lease(id: string, resources: Record<string, string>, labels: Record<string, string> = {}): void {
    const lease = { id, labels: new Map(Object.entries(labels)), createdAt: times.createdAt };
    const list = Object.entries(resources).map(([resource, type]) => ({ id: resource, type }));
    this.objects.push(leaseObject(lease, list, this.rules));
  }

  get graph(): ReferenceGraph {
    return new ReferenceGraph("ns", this.objects);
  }

  garbage(): string[] {
    return this.graph.garbage().map(({ kind, id }) => `${kind} ${id}`);
  }

  /** Chains as text: `lease l → content a [leased]`. */
  chains(kind: ObjectId["kind"], id: string): string[] {
    const target = { kind, id, snapshotter: kind === "snapshot" ? "s" : "" };
    return this.graph
      .holdersOf(target)
      .map((chain) =>
        chain.map(({ object, via }) => `${object.kind} ${object.id}${via === "" ? "" : ` [${via}]`}`).join(" → "),
      );
  }
}

describe("what keeps an object", () => {
  it("is told root by root, by the shortest way", () => {
    const b = new Bench();
    b.image("i", "a");
    b.content("a", { [gc("ref.content.0")]: "b", [gc("ref.content.1")]: "c" });
    b.content("b", { [gc("ref.content")]: "c" });
    b.content("c", { [gc("ref.snapshot.s/x")]: "top" });
    b.snapshot("base");
    b.snapshot("top", "base");
    b.lease("l", { top: "snapshots/s" });
    expect(b.chains("snapshot", "base")).toEqual([
      "lease l → snapshot top [leased] → snapshot base [parent]",
      "image i → content a [target] → content c [containerd.io/gc.ref.content.1] → snapshot top " +
        "[containerd.io/gc.ref.snapshot.s/x] → snapshot base [parent]",
    ]);
    expect(b.chains("image", "i")).toEqual(["image i"]);
    expect(b.garbage()).toEqual([]);
  });

  it("follows no labels from a flat lease, but parents and targets", () => {
    const b = new Bench();
    b.lease("l", { top: "snapshots/s", i: "images" }, { [gc("flat")]: "x" });
    b.snapshot("base", "", { [gc("ref.content")]: "c" });
    b.snapshot("top", "base", { [gc("ref.content")]: "c" });
    b.image("i", "a", { [gc("expire")]: iso(-1), [gc("ref.content")]: "c" });
    b.content("a", { [gc("ref.content")]: "c" });
    b.content("c");
    expect(b.chains("snapshot", "base")).toEqual(["lease l → snapshot top [leased] → snapshot base [parent]"]);
    expect(b.chains("content", "a")).toEqual(["lease l → image i [leased] → content a [target]"]);
    expect(b.chains("content", "c")).toEqual([]);
    expect(b.garbage()).toEqual(["content c"]);
  });

  it("may be told by the object itself", () => {
    const b = new Bench();
    b.image("i", "a");
    b.content("a");
    b.content("child", { [gc("bref.content")]: "a", [gc("ref.content")]: "grandchild" });
    b.content("grandchild");
    b.content("orphan", { [gc("bref.image")]: "gone" });
    expect(b.chains("content", "grandchild")).toEqual([
      "image i → content a [target] → content child [containerd.io/gc.bref.content] → content grandchild " +
        "[containerd.io/gc.ref.content]",
    ]);
    expect(b.garbage()).toEqual(["content orphan"]);
  });

  it("may depend on when a snapshot was used", () => {
    const b = new Bench();
    b.snapshot("new", "", { [gc("cond.value-usedat")]: iso(-60_000) });
    b.snapshot("old", "", { [gc("cond.value-usedat")]: iso(-7_200_000) });
    b.content("a", { [gc("root")]: "x", [gc("cond.snapshot/s")]: "usedat<1h|new" });
    b.content("b", { [gc("root")]: "x", [gc("cond.snapshot/s")]: "usedat<1h|old" });
    expect(b.garbage()).toEqual(["snapshot old"]);
    expect(b.chains("snapshot", "new")).toEqual(["content a → snapshot new [containerd.io/gc.cond.snapshot/s]"]);
  });
});

describe("what nothing keeps", () => {
  it("expired leases and images with what only they keep, uploads after a day, rings of labels", () => {
    const b = new Bench();
    b.lease("ended", { a: "content", up: "ingests" }, { [gc("expire")]: iso(-1) });
    b.lease("lasts", { kept: "content" }, { [gc("expire")]: iso(60_000) });
    b.lease("odd", { kept: "content" }, { [gc("expire")]: "soon" });
    b.content("a");
    b.content("kept");
    b.image("ended", "b", { [gc("expire")]: iso(-1) });
    b.content("b");
    b.content("ring1", { [gc("ref.content")]: "ring2" });
    b.content("ring2", { [gc("ref.content")]: "ring1" });
    const status = { offset: 1n, total: 0n, expected: "", updatedAt: undefined };
    const begun = (age: number): ReturnType<typeof timestampFromMillis> => timestampFromMillis(now - age);
    b.objects.push(ingestObject({ ...status, ref: "up", startedAt: begun(1) }, true, b.rules));
    b.objects.push(ingestObject({ ...status, ref: "today", startedAt: begun(1) }, false, b.rules));
    b.objects.push(ingestObject({ ...status, ref: "old", startedAt: begun(90_000_000) }, false, b.rules));
    expect(b.garbage().sort()).toEqual([
      "content a",
      "content b",
      "content ring1",
      "content ring2",
      "image ended",
      "ingest old",
      "ingest up",
      "lease ended",
    ]);
  });

  it("is more for a containerd that does not know all labels", () => {
    const b = new Bench(false);
    b.image("i", "a", { [gc("expire")]: iso(-1), [gc("ref.image")]: "j" });
    b.content("a", { [gc("ref.content")]: "b" });
    b.content("b");
    b.content("child", { [gc("bref.content")]: "a" });
    expect(b.garbage()).toEqual(["content child"]);
  });
});

it("counts what an object leads to", () => {
  const b = new Bench();
  b.image("i", "a");
  b.image("j", "b");
  b.content("a", { [gc("ref.content")]: "shared" });
  b.content("b", { [gc("ref.content")]: "shared" });
  b.content("shared");
  const { graph } = b;
  const image = graph.get({ kind: "image", id: "i", snapshotter: "" });
  expect(graph.reachableFrom(image === undefined ? [] : [image]).map(({ id }) => id)).toEqual(["i", "a", "shared"]);
  expect(graph.referrersOf({ kind: "content", id: "shared", snapshotter: "" }).map(({ from }) => from.id)).toEqual([
    "a",
    "b",
  ]);
});
