import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { millisFromTimestamp } from "@ctrd/core/records";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { expect, it } from "vitest";
import type { CurrentBench } from "./suite.ts";
import { describeTree, remove, write } from "./trees.ts";

/** From prepare to remove, and over a restart. */
export function lifecycleTests(current: CurrentBench): void {
  it("prepares, commits, stacks and removes", async () => {
    const { snapshotter, ctx } = current();
    const flat = current().directory();
    const first = (directory: string): void => {
      write(join(directory, "foo"), "foo\n", 0o777);
      write(join(directory, "a/b/c/deep"), "deep");
    };
    const second = (directory: string): void => {
      write(join(directory, "bar"), "bar\n", 0o777);
      write(join(directory, "foo"), "bar\n");
      remove(join(directory, "a/b"));
    };
    await current().layer("one", "", first);
    expect(await snapshotter.stat(ctx, "one")).toMatchObject({ name: "one", parent: "", kind: SnapshotKind.Committed });
    await expect(snapshotter.stat(ctx, "active one")).rejects.toMatchObject({ kind: "not-found" });

    first(flat);
    const mounts = await snapshotter.prepare(ctx, "next", "one");
    await current().mounted(mounts, (directory) => {
      expect(describeTree(directory)).toEqual(describeTree(flat));
      second(directory);
    });
    expect(await snapshotter.stat(ctx, "next")).toMatchObject({ parent: "one", kind: SnapshotKind.Active });
    await snapshotter.commit(ctx, "two", "next");
    expect(await snapshotter.stat(ctx, "two")).toMatchObject({ parent: "one", kind: SnapshotKind.Committed });

    second(flat);
    await current().view("two", (directory) => expect(describeTree(directory)).toEqual(describeTree(flat)));
    await expect(snapshotter.remove(ctx, "one")).rejects.toMatchObject({ kind: "failed-precondition" });
    await snapshotter.remove(ctx, "two");
    await snapshotter.remove(ctx, "one");
    expect(await current().walk()).toEqual([]);
  });

  it("stats every kind, with times of the creation", async () => {
    const { snapshotter, ctx } = current();
    const before = Date.now();
    await current().layer("base", "");
    await snapshotter.prepare(ctx, "active", "base");
    await snapshotter.view(ctx, "view", "base");
    const after = Date.now() + 1;
    const kinds = { base: SnapshotKind.Committed, active: SnapshotKind.Active, view: SnapshotKind.View };
    for (const [key, kind] of Object.entries(kinds)) {
      const info = await snapshotter.stat(ctx, key);
      expect(info).toMatchObject({ name: key, kind, parent: key === "base" ? "" : "base" });
      expect(millisFromTimestamp(info.createdAt)).toBeGreaterThanOrEqual(before);
      expect(millisFromTimestamp(info.createdAt)).toBeLessThanOrEqual(after);
      expect(info.updatedAt).toEqual(info.createdAt);
    }
  });

  it("gives the same mounts again", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    await current().layer("top", "base");
    for (const parent of ["", "base", "top"]) {
      const active = await snapshotter.prepare(ctx, `active on ${parent}`, parent);
      const view = await snapshotter.view(ctx, `view of ${parent}`, parent);
      expect(active.length).toBeGreaterThan(0);
      expect(await snapshotter.mounts(ctx, `active on ${parent}`)).toEqual(active);
      expect(await snapshotter.mounts(ctx, `view of ${parent}`)).toEqual(view);
    }
  });

  it("keeps what is written in an active snapshot between two mounts", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "", (directory) => write(join(directory, "base"), "1"));
    await current().active("key", "base", (directory) => write(join(directory, "mine"), "2"));
    await current().mounted(await snapshotter.mounts(ctx, "key"), (directory) => {
      expect(readFileSync(join(directory, "mine"), "utf8")).toBe("2");
      expect(readFileSync(join(directory, "base"), "utf8")).toBe("1");
    });
  });

  it("frees keys and names for use again", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("name", "", (directory) => write(join(directory, "old"), "1"));
    await snapshotter.prepare(ctx, "key", "name");
    await snapshotter.remove(ctx, "key");
    await snapshotter.view(ctx, "key", "name");
    await snapshotter.remove(ctx, "key");
    await current().active("key", "", (directory) => write(join(directory, "new"), "2"));
    await snapshotter.remove(ctx, "name");
    await snapshotter.commit(ctx, "name", "key");
    await current().view("name", (directory) => {
      expect(existsSync(join(directory, "old"))).toBe(false);
      expect(readFileSync(join(directory, "new"), "utf8")).toBe("2");
    });
  });

  it("keeps everything over a restart", async () => {
    const { ctx } = current();
    await current().layer("base", "", (directory) => write(join(directory, "file"), "1"), {
      labels: new Map([["containerd.io/snapshot/x", "1"]]),
    });
    await current().active("active", "base", (directory) => write(join(directory, "more"), "2"));
    await current().snapshotter.view(ctx, "view", "base");
    const before = await current().walk();
    const usage = await current().snapshotter.usage(ctx, "base");
    await current().reopen();
    const byName = (a: { name: string }, b: { name: string }): number => a.name.localeCompare(b.name);
    expect((await current().walk()).sort(byName)).toEqual(before.sort(byName));
    expect(await current().snapshotter.usage(ctx, "base")).toEqual(usage);
    await current().mounted(await current().snapshotter.mounts(ctx, "active"), (directory) => {
      expect(readFileSync(join(directory, "more"), "utf8")).toBe("2");
    });
    await current().layer("after", "base");
    await current().snapshotter.commit(ctx, "top", "active");
    await current().view("top", (directory) => expect(readFileSync(join(directory, "file"), "utf8")).toBe("1"));
  });

  it("takes keys of any text", async () => {
    const { snapshotter, ctx } = current();
    const keys = [
      "extract-123456789-a_-Z sha256:c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2",
      "../../etc/passwd",
      "/",
      ".",
      "k8s.io/17/é😀 \n\t'\"\\",
      "__proto__",
      "x".repeat(1000),
    ];
    for (const key of keys) await snapshotter.prepare(ctx, key, "");
    expect(await current().names()).toEqual(keys.toSorted());
    for (const key of keys) expect((await snapshotter.stat(ctx, key)).name).toBe(key);
    for (const key of keys) await snapshotter.remove(ctx, key);
    expect(await current().names()).toEqual([]);
  });

  it("closes twice", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("name", "");
    await snapshotter.remove(ctx, "name");
    await snapshotter.close();
    await snapshotter.close();
  });
}
