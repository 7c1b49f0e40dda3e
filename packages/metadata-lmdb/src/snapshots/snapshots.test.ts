import { SnapshotCommit, SnapshotPrepare, SnapshotRemove } from "@ctrd/api/events/snapshot";
import { SnapshotKind, snapshotRefLabel } from "@ctrd/core/snapshots";
import { describe, expect, test } from "vitest";
import { all, Bench, expectKind } from "../../test/bench.ts";

const inherited = "containerd.io/snapshot/x";

test("backends see keys of their own and inherited labels only", async () => {
  const b = await Bench.open();
  const labels = new Map([
    [inherited, "1"],
    ["mine", "2"],
    [snapshotRefLabel, "target"],
    ["empty", ""],
  ]);
  await b.snapshotter.prepare(b.ctx, "k", "", { labels });
  const [info] = b.backend.snapshots.values();
  expect(info?.name).toMatch(/^ns\/\d+\/k$/);
  expect(info?.labels).toEqual(
    new Map([
      [inherited, "1"],
      [snapshotRefLabel, "target"],
    ]),
  );
  labels.delete("empty");
  expect((await b.snapshotter.stat(b.ctx, "k")).labels).toEqual(labels);
  await b.snapshotter.commit(b.ctx, "n", "k", {
    labels: new Map([
      [inherited, "3"],
      ["mine", "4"],
    ]),
  });
  expect([...b.backend.snapshots.values()][0]?.labels).toEqual(new Map([[inherited, "3"]]));
  const committed = await b.snapshotter.stat(b.ctx, "n");
  expect(committed).toMatchObject({ name: "n", kind: SnapshotKind.Committed });
  expect(committed.labels).toEqual(
    new Map([
      [inherited, "3"],
      ["mine", "4"],
    ]),
  );
});

test("labels that the backend sets show, the namespace's own win", async () => {
  const b = await Bench.open();
  await b.snapshotter.prepare(b.ctx, "k", "", { labels: new Map([["a", "own"]]) });
  const [info] = b.backend.snapshots.values();
  info?.labels.set("a", "backend").set("b", "backend");
  expect((await b.snapshotter.stat(b.ctx, "k")).labels).toEqual(
    new Map([
      ["b", "backend"],
      ["a", "own"],
    ]),
  );
});

test.each<[string[], Record<string, string>, Record<string, string>]>([
  [[], { b: "2" }, { b: "2" }],
  [["labels"], { b: "2" }, { b: "2" }],
  [["labels.b"], { b: "2" }, { a: "1", [inherited]: "1", b: "2" }],
  [["labels.a"], {}, { [inherited]: "1" }],
  [[`labels.${inherited}`], { [inherited]: "9" }, { a: "1", [inherited]: "9" }],
])("labels are updated by the mask %j", async (mask, wanted, labels) => {
  const b = await Bench.open();
  await b.snapshotter.prepare(b.ctx, "k", "", {
    labels: new Map([
      ["a", "1"],
      [inherited, "1"],
    ]),
  });
  const info = await b.snapshotter.stat(b.ctx, "k");
  const updated = await b.snapshotter.update(b.ctx, { ...info, labels: new Map(Object.entries(wanted)) }, mask);
  expect(updated.labels).toEqual(new Map(Object.entries(labels)));
  expect(await b.snapshotter.stat(b.ctx, "k")).toEqual(updated);
  const own = [...b.backend.snapshots.values()][0]?.labels;
  expect(own).toEqual(new Map(Object.entries(labels).filter(([key]) => key === inherited)));
});

test("other mask paths and large labels are refused", async () => {
  const b = await Bench.open();
  await b.snapshotter.prepare(b.ctx, "k", "");
  const info = await b.snapshotter.stat(b.ctx, "k");
  await expectKind(b.snapshotter.update(b.ctx, info, ["parent"]), "invalid-argument");
  const large = new Map([["k", "x".repeat(4096)]]);
  await expectKind(b.snapshotter.update(b.ctx, { ...info, labels: large }, []), "invalid-argument");
  await expectKind(b.snapshotter.prepare(b.ctx, "l", "", { labels: large }), "invalid-argument");
  await expectKind(b.snapshotter.update(b.ctx, { ...info, name: "none" }, []), "not-found");
});

test("publishes prepare, commit and remove, and nothing for views", async () => {
  const b = await Bench.open();
  await b.snapshotter.prepare(b.ctx, "k", "");
  await b.snapshotter.commit(b.ctx, "n", "k");
  await b.snapshotter.view(b.ctx, "v", "n");
  await b.snapshotter.remove(b.ctx, "v");
  const decoded = b.events.map(({ topic, event }) => {
    const codec = { "/snapshot/prepare": SnapshotPrepare, "/snapshot/commit": SnapshotCommit }[topic] ?? SnapshotRemove;
    return [topic, event.typeUrl, codec.decode(event.value)];
  });
  expect(decoded).toEqual([
    ["/snapshot/prepare", "containerd.events.SnapshotPrepare", { key: "k", parent: "", snapshotter: "mem" }],
    ["/snapshot/commit", "containerd.events.SnapshotCommit", { key: "k", name: "n", snapshotter: "mem" }],
    ["/snapshot/remove", "containerd.events.SnapshotRemove", { key: "v", snapshotter: "mem" }],
  ]);
});

test("errors name the client's keys", async () => {
  const b = await Bench.open();
  await b.snapshot("base");
  await b.snapshotter.prepare(b.ctx, "k", "base");
  await expectKind(b.snapshotter.prepare(b.ctx, "k", ""), "already-exists", 'snapshot "k"');
  await expectKind(b.snapshotter.prepare(b.ctx, "l", "none"), "not-found", 'parent snapshot "none" does not exist');
  await expectKind(b.snapshotter.prepare(b.ctx, "l", "k"), "invalid-argument");
  await expectKind(b.snapshotter.prepare(b.ctx, "", ""), "invalid-argument", "must not be empty");
  await expectKind(b.snapshotter.commit(b.ctx, "base", "k"), "already-exists", 'snapshot "base"');
  await expectKind(b.snapshotter.commit(b.ctx, "n", "none"), "not-found", 'snapshot "none"');
  await expectKind(b.snapshotter.commit(b.ctx, "n", "base"), "failed-precondition");
  await expectKind(b.snapshotter.commit(b.ctx, "n", "k", { parent: "other" }), "invalid-argument", "parent");
  await expectKind(b.snapshotter.remove(b.ctx, "base"), "failed-precondition", "with child");
  await expectKind(b.snapshotter.mounts(b.ctx, "base"), "failed-precondition");
  await expectKind(b.snapshotter.stat(b.ctx, "none"), "not-found");
  await expectKind(b.snapshotter.usage(b.ctx, "none"), "not-found");
  await expectKind(b.snapshotter.mounts(b.ctx, "none"), "not-found");
  await expectKind(b.snapshotter.remove(b.ctx, "none"), "not-found");
  await expectKind(b.snapshotter.stat(b.in("other"), "k"), "not-found");
  expect(b.backendKeys()).toEqual(["base", "k"]);
});

test("commit can give a parent to a snapshot without one", async () => {
  const b = await Bench.open();
  await b.snapshot("base");
  await b.snapshotter.prepare(b.ctx, "k", "");
  await expectKind(b.snapshotter.commit(b.ctx, "n", "k", { parent: "none" }), "not-found", "parent");
  await b.snapshotter.commit(b.ctx, "n", "k", { parent: "base" });
  expect(await b.snapshotter.stat(b.ctx, "n")).toMatchObject({ parent: "base" });
  await expectKind(b.snapshotter.remove(b.ctx, "base"), "failed-precondition");
});

test("leases hold the active, then the committed snapshot", async () => {
  const b = await Bench.open();
  const ctx = await b.leased("l");
  const held = async (): Promise<string[]> => (await b.store.leases.listResources(b.ctx, "l")).map(({ id }) => id);
  await b.snapshotter.prepare(ctx, "k", "");
  expect(await b.store.leases.listResources(b.ctx, "l")).toEqual([{ type: "snapshots/mem", id: "k" }]);
  await b.snapshotter.commit(ctx, "n", "k");
  expect(await held()).toEqual(["n"]);
  await b.snapshotter.view(ctx, "v", "n");
  expect(await held()).toEqual(["n", "v"]);
  await b.snapshotter.remove(ctx, "v");
  expect(await held()).toEqual(["n"]);
});

test("what exists already joins the lease all the same", async () => {
  const b = await Bench.open();
  await b.snapshot("n");
  await b.snapshotter.prepare(b.ctx, "k", "");
  const ctx = await b.leased("l");
  await expectKind(b.snapshotter.prepare(ctx, "k", ""), "already-exists");
  await expectKind(b.snapshotter.commit(ctx, "n", "k"), "already-exists");
  expect((await b.store.leases.listResources(b.ctx, "l")).map(({ id }) => id)).toEqual(["k", "n"]);
});

describe("targets (remote snapshotters)", () => {
  const labels = new Map([
    [snapshotRefLabel, "chain"],
    ["own", "1"],
  ]);

  test("a target that the namespace has is not prepared again", async () => {
    const b = await Bench.open();
    await b.snapshot("chain");
    const ctx = await b.leased("l");
    await expectKind(
      b.snapshotter.prepare(ctx, "extract", "", { labels }),
      "already-exists",
      'target snapshot "chain"',
    );
    expect(await b.store.leases.listResources(b.ctx, "l")).toEqual([{ type: "snapshots/mem", id: "chain" }]);
    expect(b.backendKeys()).toEqual(["chain"]);
  });

  test("a target that the backend has is recorded as it is there", async () => {
    const b = await Bench.open();
    await b.snapshot("base");
    b.backend.remoteTargets.add("chain");
    const ctx = await b.leased("l");
    await expectKind(
      b.snapshotter.prepare(ctx, "extract", "base", { labels }),
      "already-exists",
      'target snapshot "chain"',
    );
    const info = await b.snapshotter.stat(b.ctx, "chain");
    expect(info).toMatchObject({ name: "chain", parent: "base", kind: SnapshotKind.Committed });
    expect(info.labels).toEqual(labels);
    await expectKind(b.snapshotter.stat(b.ctx, "extract"), "not-found");
    expect(await b.store.leases.listResources(b.ctx, "l")).toEqual([{ type: "snapshots/mem", id: "chain" }]);
    await b.snapshotter.prepare(b.ctx, "rw", "chain");
    expect(b.topics().filter((topic) => topic === "/snapshot/prepare")).toHaveLength(2);
    await b.collect();
    expect((await b.keys()).sort()).toEqual(["base", "chain"]);
  });

  test("namespaces share a target, and the last one takes it away", async () => {
    const b = await Bench.open();
    b.backend.remoteTargets.add("chain");
    const other = b.in("other");
    await b.collect();
    for (const ctx of [b.ctx, other]) {
      await expectKind(b.snapshotter.prepare(ctx, "extract", "", { labels }), "already-exists");
      await b.image("image", await b.blob("image", { "containerd.io/gc.ref.snapshot.mem": "chain" }, ctx), {}, ctx);
    }
    expect([...b.backend.snapshots.keys()]).toEqual(["remote/chain", expect.stringMatching(/^other\/\d+\/extract$/)]);
    await b.collect();
    expect([...b.backend.snapshots.keys()]).toEqual(["remote/chain"]);
    expect([await b.keys(), await b.keys(other)]).toEqual([["chain"], ["chain"]]);
    await b.store.images.delete(b.ctx, "image");
    await b.collect();
    expect([await b.keys(), await b.keys(other)]).toEqual([[], ["chain"]]);
    expect([...b.backend.snapshots.keys()]).toEqual(["remote/chain"]);
    await b.store.images.delete(other, "image");
    await b.collect();
    expect([...b.backend.snapshots.keys()]).toEqual([]);
  });

  test("a target that a clean-up removes meanwhile is not recorded", async () => {
    const b = await Bench.open();
    b.backend.remoteTargets.add("chain");
    await expectKind(b.snapshotter.prepare(b.ctx, "extract", "", { labels }), "already-exists");
    b.backend.walk = async function* () {
      const found = [...b.backend.snapshots.values()];
      b.backend.snapshots.clear();
      yield* found;
    };
    const other = b.in("other");
    await expectKind(b.snapshotter.prepare(other, "extract", "", { labels }), "not-found");
    await expectKind(b.snapshotter.stat(other, "chain"), "not-found");
  });

  test("an answer without the target is not found", async () => {
    const b = await Bench.open();
    b.backend.remoteTargets.add("chain");
    b.backend.walk = async function* () {};
    await expectKind(b.snapshotter.prepare(b.ctx, "extract", "", { labels }), "not-found", 'target snapshot "chain"');
    expect(await b.keys()).toEqual([]);
  });

  test("already-exists without a target is unexpected", async () => {
    const b = await Bench.open();
    b.backend.remoteTargets.add("");
    await expectKind(b.snapshotter.prepare(b.ctx, "k", ""), "unknown");
  });
});

describe("failures between the backend and the metadata", () => {
  test("a prepare whose parent is removed meanwhile is undone", async () => {
    const b = await Bench.open();
    await b.snapshot("base");
    b.backend.hook = async (operation) => {
      if (operation === "prepare") await b.snapshotter.remove(b.ctx, "base");
    };
    await expectKind(b.snapshotter.prepare(b.ctx, "k", "base"), "not-found", 'parent snapshot "base"');
    b.backend.hook = () => {};
    expect(b.backendKeys()).toEqual(["base"]);
    await b.collect();
    expect(b.backendKeys()).toEqual([]);
  });

  test("an undo that fails is made good by the next collection", async () => {
    const b = await Bench.open();
    await b.snapshot("base");
    await b.collect();
    await b.snapshot("base");
    b.backend.hook = async (operation) => {
      if (operation === "prepare") await b.snapshotter.remove(b.ctx, "base");
      if (operation === "remove") throw new Error("disk trouble");
    };
    await expectKind(b.snapshotter.prepare(b.ctx, "k", "base"), "not-found");
    b.backend.hook = () => {};
    expect(b.backendKeys()).toEqual(["base", "k"]);
    await b.collect();
    expect(b.backendKeys()).toEqual([]);
  });

  test("a prepare that the backend refuses leaves no record", async () => {
    const b = await Bench.open();
    b.backend.hook = () => {
      throw new Error("disk trouble");
    };
    await expect(b.snapshotter.prepare(b.ctx, "k", "")).rejects.toThrow("disk trouble");
    b.backend.hook = () => {};
    expect(await b.keys()).toEqual([]);
    await b.snapshotter.prepare(b.ctx, "k", "");
  });

  test("one of many prepares of a key wins", async () => {
    const b = await Bench.open();
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => b.snapshotter.prepare(b.ctx, "k", "")));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(b.backendKeys()).toEqual(["k"]);
  });

  test("a call that waits for a key gives up when its caller does", async () => {
    const b = await Bench.open();
    const gate = Promise.withResolvers<void>();
    b.backend.hook = () => gate.promise;
    const first = b.snapshotter.prepare(b.ctx, "k", "");
    const abort = new AbortController();
    const second = b.snapshotter.prepare({ ...b.ctx, signal: abort.signal }, "k", "");
    const third = b.snapshotter.prepare(b.ctx, "k", "");
    abort.abort(new Error("gone"));
    await expect(second).rejects.toThrow("gone");
    gate.resolve();
    await first;
    await expectKind(third, "already-exists");
  });
});

test("walks filter the merged information, with few snapshots and with many", async () => {
  const b = await Bench.open();
  await b.snapshot("base", "", { [inherited]: "1", tier: "web" });
  await b.snapshotter.prepare(b.ctx, "rw", "base");
  const names = async (...filters: string[]): Promise<string[]> =>
    (await all(b.snapshotter.walk(b.ctx, filters))).map(({ name }) => name);
  for (let round = 0; round < 2; round++) {
    expect(await names("kind==committed,labels.tier==web")).toEqual(["base"]);
    expect(await names("parent==base", "name==base")).toEqual(["base", "rw"]);
    expect(await names(`labels."${inherited}"==1`)).toEqual(["base"]);
    expect(await names("kind==view")).toEqual([]);
    await Promise.all(Array.from({ length: 300 }, (_unused, i) => b.snapshotter.prepare(b.ctx, `s${round}-${i}`, "")));
  }
  expect(await names()).toHaveLength(602);
  expect(b.backend.walks).toBeGreaterThan(0);
  expect(await all(b.snapshotter.walk(b.in("other"), []))).toEqual([]);
  await expectKind(names("=="), "invalid-argument");
});

test("a snapshot that the backend has lost is left out of walks, and can be removed", async () => {
  const b = await Bench.open();
  await b.snapshot("a");
  await b.snapshot("lost");
  for (const key of b.backend.snapshots.keys()) if (key.endsWith("/lost")) b.backend.snapshots.delete(key);
  expect(await b.keys()).toEqual(["a"]);
  await expectKind(b.snapshotter.stat(b.ctx, "lost"), "not-found");
  await b.snapshotter.remove(b.ctx, "lost");
});

test("cleanup frees what was removed, without a collection", async () => {
  const b = await Bench.open();
  await b.snapshot("a");
  await b.snapshot("b");
  await b.snapshotter.remove(b.ctx, "a");
  expect(b.backendKeys()).toEqual(["a", "b"]);
  await b.snapshotter.cleanup?.(b.ctx);
  expect(b.backendKeys()).toEqual(["b"]);
  expect(b.backend.cleanups).toBe(1);
});

test("usage and mounts are the backend's", async () => {
  const b = await Bench.open();
  const mounts = await b.snapshotter.prepare(b.ctx, "k", "");
  expect(await b.snapshotter.mounts(b.ctx, "k")).toEqual(mounts);
  expect(await b.snapshotter.usage(b.ctx, "k")).toEqual({ size: 42n, inodes: 1n });
});
