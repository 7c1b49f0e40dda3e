import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { expectKind } from "../expectations.ts";
import type { CurrentBench, SnapshotterSuiteOptions } from "./suite.ts";
import { testWhen } from "../test-when.ts";

/** Every error class of the snapshot service, and that a refused call changes nothing. */
export function errorTests(current: CurrentBench, options: SnapshotterSuiteOptions): void {
  it("refuses unknown keys", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    const info = await snapshotter.stat(ctx, "base");
    await expectKind(snapshotter.stat(ctx, "missing"), "not-found");
    await expectKind(snapshotter.usage(ctx, "missing"), "not-found");
    await expectKind(snapshotter.mounts(ctx, "missing"), "not-found");
    await expectKind(snapshotter.remove(ctx, "missing"), "not-found");
    await expectKind(snapshotter.commit(ctx, "name", "missing"), "not-found");
    await expectKind(snapshotter.update(ctx, { ...info, name: "missing" }, []), "not-found");
    expect(await current().names()).toEqual(["base"]);
  });

  it.each(["prepare", "view"] as const)("%s refuses a parent that is missing or not committed", async (method) => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    await snapshotter.prepare(ctx, "active", "base");
    await snapshotter.view(ctx, "view", "base");
    await expectKind(snapshotter[method](ctx, "new", "missing"), "not-found");
    await expectKind(snapshotter[method](ctx, "new", "active"), "invalid-argument");
    await expectKind(snapshotter[method](ctx, "new", "view"), "invalid-argument");
    expect(await current().names()).toEqual(["active", "base", "view"]);
  });

  it.each(["prepare", "view"] as const)("%s refuses a key that exists", async (method) => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    await snapshotter.prepare(ctx, "active", "base");
    await snapshotter.view(ctx, "view", "base");
    for (const key of ["active", "view", "base"]) {
      for (const parent of ["", "base"]) await expectKind(snapshotter[method](ctx, key, parent), "already-exists");
    }
  });

  it("commits only active snapshots, to names that are free", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    await snapshotter.prepare(ctx, "active", "base");
    await snapshotter.view(ctx, "view", "base");
    await expectKind(snapshotter.commit(ctx, "new", "view"), "failed-precondition");
    await expectKind(snapshotter.commit(ctx, "new", "base"), "failed-precondition");
    for (const name of ["base", "view", "active"]) {
      await expectKind(snapshotter.commit(ctx, name, "active"), "already-exists");
    }
    expect(await current().names()).toEqual(["active", "base", "view"]);
    await snapshotter.commit(ctx, "new", "active");
    await expectKind(snapshotter.commit(ctx, "newer", "active"), "not-found");
  });

  it("has no mounts for committed snapshots", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    await expectKind(snapshotter.mounts(ctx, "base"), "failed-precondition");
  });

  it("removes no snapshot that has children", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    await current().layer("middle", "base");
    await snapshotter.prepare(ctx, "active", "middle");
    await snapshotter.view(ctx, "view", "middle");
    for (const child of ["active", "view"]) {
      await expectKind(snapshotter.remove(ctx, "middle"), "failed-precondition");
      await expectKind(snapshotter.remove(ctx, "base"), "failed-precondition");
      await snapshotter.remove(ctx, child);
    }
    await expectKind(snapshotter.remove(ctx, "base"), "failed-precondition");
    await snapshotter.remove(ctx, "middle");
    await snapshotter.remove(ctx, "base");
  });

  it("makes views read-only", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    await current().layer("top", "base");
    for (const parent of ["", "base", "top"]) {
      const mounts = await snapshotter.view(ctx, `view of ${parent}`, parent);
      await current().mounted(mounts, (directory) => {
        expect(() => writeFileSync(join(directory, "file"), "x")).toThrow(/EROFS/);
      });
    }
  });

  testWhen(options.rebase === true)("refuses to rebase onto what cannot be the parent", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    await current().layer("other", "");
    await snapshotter.prepare(ctx, "child", "base");
    await snapshotter.prepare(ctx, "bare", "");
    await expectKind(snapshotter.commit(ctx, "new", "child", { parent: "other" }), "invalid-argument");
    await expectKind(snapshotter.commit(ctx, "new", "bare", { parent: "child" }), "failed-precondition");
    await expectKind(snapshotter.commit(ctx, "new", "bare", { parent: "missing" }), "not-found");
    expect(await current().names()).toEqual(["bare", "base", "child", "other"]);
    await snapshotter.commit(ctx, "new", "child", { parent: "base" });
  });
}
