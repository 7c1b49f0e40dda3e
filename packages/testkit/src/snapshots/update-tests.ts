import { setTimeout as sleep } from "node:timers/promises";
import type { Labels } from "@ctrd/core/records";
import { millisFromTimestamp } from "@ctrd/core/records";
import { expect, it } from "vitest";
import type { CurrentBench } from "./suite.ts";

const keys = ["c1", "c2", "a1", "a2", "v1", "v2"];

/** Two committed, two active snapshots and two views, each with and without a parent. */
async function makeAll(current: CurrentBench): Promise<void> {
  const { snapshotter, ctx } = current();
  await current().layer("c1", "");
  await current().layer("c2", "c1");
  await snapshotter.prepare(ctx, "a1", "c2");
  await snapshotter.prepare(ctx, "a2", "");
  await snapshotter.view(ctx, "v1", "c2");
  await snapshotter.view(ctx, "v2", "");
}

/** Labels of the test; a wrapper or option may add some under `containerd.io/`. */
function own(labels: Labels): Record<string, string> {
  return Object.fromEntries(Array.from(labels).filter(([key]) => !key.startsWith("containerd.io/snapshot/overlay.")));
}

const labels = (entries: Record<string, string>): Labels => new Map(Object.entries(entries));

/** Changing labels, and that nothing else changes. */
export function updateTests(current: CurrentBench): void {
  it("replaces, sets and removes labels of every kind", async () => {
    const { snapshotter, ctx } = current();
    await makeAll(current);
    for (const key of keys) {
      const info = await snapshotter.stat(ctx, key);
      const all = labels({
        "containerd.io/snapshot/l1": "v1",
        "containerd.io/snapshot/l2": "v2",
        "containerd.io/snapshot/l3": "v3",
      });
      const replaced = await snapshotter.update(ctx, { ...info, labels: all }, []);
      expect(own(replaced.labels)).toEqual(Object.fromEntries(all));

      const some = labels({ "containerd.io/snapshot/l1": "changed", "containerd.io/snapshot/l4": "v4" });
      const mask = ["labels.containerd.io/snapshot/l1", "labels.containerd.io/snapshot/l2"];
      const masked = await snapshotter.update(ctx, { ...info, labels: some }, mask);
      const expected = { "containerd.io/snapshot/l1": "changed", "containerd.io/snapshot/l3": "v3" };
      expect(own(masked.labels)).toEqual(expected);
      expect(own((await snapshotter.stat(ctx, key)).labels)).toEqual(expected);

      const last = labels({ "containerd.io/snapshot/l4": "v4" });
      expect(own((await snapshotter.update(ctx, { ...info, labels: last }, ["labels"])).labels)).toEqual(
        Object.fromEntries(last),
      );
    }
  });

  it("changes the time of the update and nothing else", async () => {
    const { snapshotter, ctx } = current();
    await makeAll(current);
    for (const key of keys) {
      const info = await snapshotter.stat(ctx, key);
      await sleep(3);
      const wanted = {
        ...info,
        parent: "nonsense",
        kind: 0 as const,
        createdAt: undefined,
        labels: labels({ "containerd.io/snapshot/x": "1" }),
      };
      const updated = await snapshotter.update(ctx, wanted, []);
      expect(updated).toMatchObject({ name: key, parent: info.parent, kind: info.kind, createdAt: info.createdAt });
      expect(millisFromTimestamp(updated.updatedAt)).toBeGreaterThan(millisFromTimestamp(info.updatedAt));
      expect(await snapshotter.stat(ctx, key)).toEqual(updated);
    }
  });

  it("refuses other fields and then changes nothing", async () => {
    const { snapshotter, ctx } = current();
    await makeAll(current);
    const info = await snapshotter.stat(ctx, "a1");
    const wanted = { ...info, parent: "c1", labels: labels({ "containerd.io/snapshot/x": "1" }) };
    for (const path of ["parent", "kind", "name", "created", "nonsense"]) {
      await expect(snapshotter.update(ctx, wanted, ["labels", path])).rejects.toMatchObject({
        kind: "invalid-argument",
      });
    }
    expect(await snapshotter.stat(ctx, "a1")).toEqual(info);
  });

  it("inherits no labels from the parent or from the active snapshot", async () => {
    const { snapshotter, ctx } = current();
    const inherited = labels({ "containerd.io/snapshot/mine": "1" });
    await snapshotter.prepare(ctx, "active", "", { labels: inherited });
    expect(own((await snapshotter.stat(ctx, "active")).labels)).toEqual(Object.fromEntries(inherited));
    await snapshotter.commit(ctx, "plain", "active");
    expect(own((await snapshotter.stat(ctx, "plain")).labels)).toEqual({});
    await snapshotter.prepare(ctx, "second", "plain");
    await snapshotter.commit(ctx, "labelled", "second", { labels: inherited });
    expect(own((await snapshotter.stat(ctx, "labelled")).labels)).toEqual(Object.fromEntries(inherited));
    await snapshotter.view(ctx, "view", "labelled");
    expect(own((await snapshotter.stat(ctx, "view")).labels)).toEqual({});
  });

  it("keeps labels named like members of objects", async () => {
    const { snapshotter, ctx } = current();
    const odd = labels({ "containerd.io/snapshot/__proto__": "1", "containerd.io/snapshot/constructor": "2" });
    await snapshotter.prepare(ctx, "key", "", { labels: odd });
    expect(own((await snapshotter.stat(ctx, "key")).labels)).toEqual(Object.fromEntries(odd));
  });
}
