import { linkSync, mkdirSync, openSync, closeSync, ftruncateSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { CurrentBench, SnapshotterSuiteOptions } from "./suite.ts";
import { countEntries, write } from "./trees.ts";
import { testWhen } from "../test-when.ts";

const MiB = 1 << 20;

/** What snapshots take on disk, and that removal gives it back. */
export function storageTests(current: CurrentBench, options: SnapshotterSuiteOptions): void {
  const exact = (options.usage ?? "files") === "files";

  it("measures active snapshots as they are, and committed ones as they were", async () => {
    const { snapshotter, ctx } = current();
    await snapshotter.prepare(ctx, "active", "");
    const empty = await snapshotter.usage(ctx, "active");
    await current().mounted(await snapshotter.mounts(ctx, "active"), (directory) => {
      for (let i = 0; i < 10; i++) write(join(directory, `file-${i}`), randomBytes(MiB / 10));
      mkdirSync(join(directory, "directory"));
    });
    const full = await snapshotter.usage(ctx, "active");
    expect(full.size - empty.size).toBeGreaterThanOrEqual(BigInt(MiB - 10));
    if (exact) {
      expect(empty.inodes).toBe(1n);
      expect(empty.size).toBeLessThanOrEqual(4096n);
      expect(full.inodes).toBe(12n);
      expect(full.size - empty.size).toBeLessThan(BigInt(MiB + 12 * 4096));
    }
    await snapshotter.commit(ctx, "committed", "active");
    const committed = await snapshotter.usage(ctx, "committed");
    if (exact) expect(committed).toEqual(full);
    else expect(committed.size).toBeGreaterThanOrEqual(BigInt(MiB - 10));
  });

  it("counts a view as nothing", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "", (directory) => write(join(directory, "file"), randomBytes(MiB)));
    await snapshotter.view(ctx, "view", "base");
    expect(await snapshotter.usage(ctx, "view")).toEqual({ size: 0n, inodes: 0n });
  });

  it("counts what a child adds", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "", (directory) => write(join(directory, "file"), randomBytes(MiB)));
    await current().active("child", "base");
    const before = await snapshotter.usage(ctx, "child");
    await current().mounted(await snapshotter.mounts(ctx, "child"), (directory) => {
      for (const name of ["a", "b", "c"]) write(join(directory, name), randomBytes(MiB));
    });
    const after = await snapshotter.usage(ctx, "child");
    expect(after.size - before.size).toBeGreaterThanOrEqual(BigInt(3 * MiB));
    if (exact) expect(after.inodes - before.inodes).toBe(3n);
  });

  testWhen(exact)("counts a file with several names once, and holes not at all", async () => {
    const { snapshotter, ctx } = current();
    await current().active("active", "", (directory) => {
      write(join(directory, "one"), randomBytes(MiB));
      mkdirSync(join(directory, "d"));
      for (let i = 0; i < 5; i++) linkSync(join(directory, "one"), join(directory, `d/link-${i}`));
      const fd = openSync(join(directory, "sparse"), "w");
      ftruncateSync(fd, 1024 * MiB);
      closeSync(fd);
    });
    const usage = await snapshotter.usage(ctx, "active");
    expect(usage.inodes).toBe(4n);
    expect(usage.size).toBeGreaterThanOrEqual(BigInt(MiB));
    expect(usage.size).toBeLessThan(BigInt(MiB + 5 * 4096));
  });

  testWhen(options.filesBelowRoot !== false)("has no files left after remove and cleanup", async () => {
    const { snapshotter, ctx } = current();
    await snapshotter.prepare(ctx, "first", "");
    await snapshotter.remove(ctx, "first");
    await snapshotter.cleanup?.(ctx);
    const before = countEntries(current().root);
    for (let round = 0; round < 2; round++) {
      await current().layer("base", "", (directory) => write(join(directory, "a/b/c"), "1"));
      await current().layer("top", "base", (directory) => write(join(directory, "a/b/d"), "2"));
      await snapshotter.prepare(ctx, "active", "top");
      await snapshotter.view(ctx, "view", "top");
      await expect(snapshotter.prepare(ctx, "active", "top")).rejects.toMatchObject({ kind: "already-exists" });
      await expect(snapshotter.prepare(ctx, "orphan", "missing")).rejects.toMatchObject({ kind: "not-found" });
      await snapshotter.cleanup?.(ctx);
      await current().view("top", (directory) => expect(countEntries(directory)).toBe(4));
      await current().removeAll();
      await snapshotter.cleanup?.(ctx);
      expect(countEntries(current().root)).toBe(before);
    }
  });

  it("cleans up while snapshots are made", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "", (directory) => write(join(directory, "file"), "1"));
    const makers = Array.from({ length: 20 }, async (_, i) => {
      await snapshotter.prepare(ctx, `old ${i}`, "base");
      await snapshotter.remove(ctx, `old ${i}`);
      await snapshotter.prepare(ctx, `new ${i}`, "base");
    });
    const cleaners = Array.from({ length: 5 }, () => snapshotter.cleanup?.(ctx));
    await Promise.all([...makers, ...cleaners]);
    await snapshotter.cleanup?.(ctx);
    for (let i = 0; i < 20; i++) {
      const count = await current().mounted(await snapshotter.mounts(ctx, `new ${i}`), countEntries);
      expect(count).toBe(1);
    }
  });
}
