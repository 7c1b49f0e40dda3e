import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { MetadataDb } from "../db/database.ts";
import { Graph } from "./graph.ts";
import { nodeOf } from "./nodes.ts";
import { Slices } from "./slices.ts";

async function openDb(): Promise<MetadataDb> {
  const root = await mkdtemp(join(tmpdir(), "graph-"));
  const db = await MetadataDb.open({ path: join(root, "meta.lmdb") });
  onTestFinished(async () => {
    await db.close();
    await rm(root, { recursive: true });
  });
  return db;
}

const node = (name: string): string => nodeOf("content", ["ns", name]);

/** Puts a blob `name` that refers to `refs`. */
function put(db: MetadataDb, name: string, refs: string[], more: Record<string, string> = {}): void {
  const labels = new Map(Object.entries(more));
  refs.forEach((ref, i) => labels.set(`containerd.io/gc.ref.content.${i}`, ref));
  db.blobs.put({ digest: name, size: 1n, createdAt: undefined, updatedAt: undefined, labels }, "ns", name);
}

async function scanned(db: MetadataDb): Promise<{ graph: Graph; slices: Slices }> {
  const slices = new Slices(new AbortController().signal);
  const graph = new Graph({ db, nowMs: Date.now(), isOpen: () => false });
  await graph.scan(slices);
  await graph.mark(slices);
  return { graph, slices };
}

test("garbage comes with referrers before what they refer to", async () => {
  const db = await openDb();
  const count = 500;
  // Names that sort against the direction of the references, and in no order at all.
  const name = (i: number): string => `${(i * 7919) % count}`.padStart(4, "0");
  await db.write(() => {
    for (let i = 0; i < count; i++) {
      const back = i % 3 === 0 && i > 0 ? { "containerd.io/gc.bref.content": name(i - 1) } : {};
      put(db, name(i), [i + 3, i + 10].filter((to) => to < count).map(name), back);
    }
  });
  const { graph, slices } = await scanned(db);
  const order = await graph.garbage(slices);
  expect(order).toHaveLength(count);
  const position = new Map(order.map((entry, at) => [entry, at]));
  const wrong: string[] = [];
  const check = (from: number, to: number): void => {
    const [first, second] = [position.get(node(name(from))) ?? -1, position.get(node(name(to))) ?? -1];
    if (first < 0 || second < 0 || first >= second) wrong.push(`${from} -> ${to}`);
  };
  for (let i = 0; i < count; i++) {
    for (const to of [i + 3, i + 10]) if (to < count) check(i, to);
    if (i % 3 === 0 && i > 0) check(i - 1, i);
  }
  expect(wrong).toEqual([]);
});

test("touched records are kept with what they refer to now", async () => {
  const db = await openDb();
  await db.write(() => {
    put(db, "a", []);
    put(db, "b", ["c"]);
    put(db, "c", []);
    put(db, "d", [], { "containerd.io/gc.bref.content": "new" });
    put(db, "e", []);
    put(db, "root", [], { "containerd.io/gc.root": "x" });
  });
  const { graph, slices } = await scanned(db);
  await db.write(() => {
    put(db, "root", ["b"], { "containerd.io/gc.root": "x" });
    put(db, "new", ["a"]);
  });
  for (const name of ["root", "new"]) graph.touch(node(name));
  await graph.mark(slices);
  const kept = ["a", "b", "c", "d", "root", "new"].filter((name) => graph.isKept(node(name)));
  expect(kept).toEqual(["a", "b", "c", "d", "root", "new"]);
  expect(await graph.garbage(slices)).toEqual([node("e")]);
});

test("a touched record that is gone keeps nothing", async () => {
  const db = await openDb();
  await db.write(() => {
    put(db, "a", ["b"]);
    put(db, "b", []);
  });
  const { graph, slices } = await scanned(db);
  await db.write(() => db.blobs.remove("ns", "a"));
  graph.touch(node("a"));
  await graph.mark(slices);
  expect(await graph.garbage(slices)).toEqual([node("b")]);
});

test("a scan gives up when its signal aborts", async () => {
  const db = await openDb();
  await db.write(() => {
    for (let i = 0; i < 5000; i++) put(db, `${i}`, []);
  });
  const abort = new AbortController();
  const graph = new Graph({ db, nowMs: 0, isOpen: () => false });
  const scan = graph.scan(new Slices(abort.signal));
  abort.abort(new Error("gone"));
  await expect(scan).rejects.toThrow("gone");
});
