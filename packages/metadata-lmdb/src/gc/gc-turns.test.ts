// Collections of many objects, in the shapes that make one step of the work large: nobody may wait long for a turn of
// the event loop.
import { join } from "node:path";
import { expect, test } from "vitest";
import { all, Bench, longestTurn } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";
import { MetadataDb } from "../db/database.ts";
import { putSnapshot } from "../snapshots/snapshot-records.ts";

const past = new Map([["containerd.io/gc.expire", "2001-01-01T00:00:00Z"]]);
const noLabels = new Map<string, string>();
const noTimes = { createdAt: undefined, updatedAt: undefined };

function putBlob(db: MetadataDb, name: string, labels: Map<string, string> = noLabels): void {
  db.blobs.put({ digest: digestOf(name), size: 1n, labels, ...noTimes }, "ns", digestOf(name));
}

/** Fills the database of a store with `count` steps of `fill`. */
async function filled(count: number, fill: (db: MetadataDb, i: number) => void): Promise<Bench> {
  const b = await Bench.open();
  await b.store.close();
  const db = await MetadataDb.open({ path: join(b.root, "meta.lmdb"), noSync: true });
  for (let at = 0; at < count; at += 5000) {
    await db.write(() => {
      db.ensureNamespace("ns");
      for (let i = at; i < Math.min(count, at + 5000); i++) fill(db, i);
    });
  }
  await db.close();
  await b.reopen();
  return b;
}

interface Shape {
  name: string;
  count: number;
  fill: (db: MetadataDb, i: number) => void;
  removed: Record<string, number>;
}

const shapes: Shape[] = [
  {
    name: "images and blobs, half of them garbage",
    count: 25_000,
    fill: (db, i) => {
      const refs = new Map([["containerd.io/gc.ref.content.0", digestOf(`layer-${i}`)]]);
      putBlob(db, `layer-${i}`);
      putBlob(db, `manifest-${i}`, refs);
      if (i % 2 === 0) return;
      const target = { mediaType: "x", digest: digestOf(`manifest-${i}`), size: 1n, annotations: noLabels };
      db.images.put({ name: `image-${i}`, labels: noLabels, target, ...noTimes }, "ns", `image-${i}`);
    },
    removed: { content: 25_000 },
  },
  {
    name: "one lease that holds everything",
    count: 100_000,
    fill: (db, i) => {
      if (i === 0) db.leases.put({ id: "l", createdAt: undefined, labels: noLabels }, "ns", "l");
      db.leaseResources.put(true, "ns", "l", "content", digestOf(`${i}`));
    },
    removed: {},
  },
  {
    name: "one flat lease that holds everything",
    count: 200_000,
    fill: (db, i) => {
      const labels = new Map([["containerd.io/gc.flat", "x"]]);
      if (i === 0) db.leases.put({ id: "l", createdAt: undefined, labels }, "ns", "l");
      db.leaseResources.put(true, "ns", "l", "content", `sha256:${String(i).padStart(64, "0")}`);
    },
    removed: {},
  },
  {
    name: "one expired lease that held everything",
    count: 50_000,
    fill: (db, i) => {
      if (i === 0) db.leases.put({ id: "l", createdAt: undefined, labels: past }, "ns", "l");
      db.leaseResources.put(true, "ns", "l", "content", digestOf(`${i}`));
    },
    removed: { lease: 1 },
  },
  {
    name: "one long chain of garbage",
    count: 50_000,
    fill: (db, i) => putBlob(db, `${i}`, new Map([["containerd.io/gc.ref.content.0", digestOf(`${i + 1}`)]])),
    removed: { content: 50_000 },
  },
  {
    name: "snapshots that are garbage",
    count: 30_000,
    fill: (db, i) => {
      const info = { name: `s-${i}`, parent: "", kind: 3 as const, labels: noLabels, ...noTimes };
      putSnapshot(db, ["ns", "mem", `s-${i}`], { backendKey: `ns/${i + 10_000}/s-${i}`, info });
    },
    removed: { snapshot: 30_000 },
  },
];

test.each(shapes)(
  "no turn takes long with $name",
  async ({ count, fill, removed }) => {
    const turns: number[] = [];
    // Slices are 5 ms. V8's own collections come on top, and one that is about the test's filling may come in between.
    while (turns.length < 3 && turns.every((ms) => ms >= 50)) {
      const b = await filled(count, fill);
      let went = new Map<string, number>();
      turns.push(await longestTurn(async () => (went = await b.collect())));
      expect(Object.fromEntries(went)).toEqual(removed);
    }
    expect(Math.min(...turns)).toBeLessThan(50);
  },
  120_000,
);

test("no turn takes long while everything is listed", async () => {
  const count = 30_000;
  const b = await filled(count, (db, i) => {
    putBlob(db, `${i}`);
    const target = { mediaType: "x", digest: digestOf(`${i}`), size: 1n, annotations: noLabels };
    db.images.put({ name: `image-${i}`, labels: noLabels, target, ...noTimes }, "ns", `image-${i}`);
    db.leaseResources.put(true, "ns", "l", "content", digestOf(`${i}`));
    if (i === 0) db.leases.put({ id: "l", createdAt: undefined, labels: noLabels }, "ns", "l");
  });
  const lists = [
    () => all(b.store.content.list(b.ctx, [])),
    () => b.store.images.list(b.ctx, []),
    () => b.store.leases.listResources(b.ctx, "l"),
  ];
  const longest: number[] = [];
  for (const list of lists) {
    const turns: number[] = [];
    while (turns.length < 3 && turns.every((ms) => ms >= 50)) {
      let found: unknown[] = [];
      turns.push(await longestTurn(async () => (found = await list())));
      expect(found).toHaveLength(count);
    }
    longest.push(Math.min(...turns));
  }
  expect(longest.filter((ms) => ms >= 50)).toEqual([]);
}, 120_000);
