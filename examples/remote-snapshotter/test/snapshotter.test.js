import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import { SnapshotKind, snapshotRefLabel } from "@ctrd/core/snapshots";
import { snapshotterSuite } from "@ctrd/testkit/snapshots";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSharedLayersSnapshotter } from "shared-layers-snapshotter";

snapshotterSuite("shared-layers", async (root) => {
  const snapshotter = openSharedLayersSnapshotter(root, join(root, "no-layers"));
  return { snapshotter, close: () => snapshotter.close() };
});

describe("shared layers", () => {
  const ctx = createContext({ namespace: "test" });
  const chainId = `sha256:${"1".repeat(64)}`;
  const labels = new Map([[snapshotRefLabel, chainId]]);
  let directory = "";
  /** @type {import("@ctrd/core/snapshots").Snapshotter} */
  let snapshotter;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "shared-layers-"));
    mkdirSync(join(directory, "layers", chainId.replace(":", "-")), { recursive: true });
    writeFileSync(join(directory, "layers", chainId.replace(":", "-"), "file"), "shared");
    snapshotter = openSharedLayersSnapshotter(join(directory, "root"), join(directory, "layers"));
  });
  afterEach(async () => {
    await snapshotter.close();
    rmSync(directory, { recursive: true });
  });

  test("a published layer is there at once, for everybody", async () => {
    for (const key of ["a/1/extract", "b/2/extract"]) {
      await expect(snapshotter.prepare(ctx, key, "", { labels })).rejects.toMatchObject({ kind: "already-exists" });
      await expect(snapshotter.stat(ctx, key)).rejects.toMatchObject({ kind: "not-found" });
    }
    expect(await snapshotter.stat(ctx, chainId)).toMatchObject({ kind: SnapshotKind.Committed, parent: "" });
    const [mount] = await snapshotter.view(ctx, "view", chainId);
    expect(readFileSync(join(mount?.source ?? "", "file"), "utf8")).toBe("shared");
  });

  test("removing it leaves the shared directory alone", async () => {
    await expect(snapshotter.prepare(ctx, "a/1/extract", "", { labels })).rejects.toMatchObject({
      kind: "already-exists",
    });
    await snapshotter.remove(ctx, chainId);
    await snapshotter.cleanup?.(ctx);
    expect(readFileSync(join(directory, "layers", chainId.replace(":", "-"), "file"), "utf8")).toBe("shared");
  });

  test("other layers are unpacked as usual, whatever they are called", async () => {
    for (const name of [`sha256:${"2".repeat(64)}`, "../../root", ""]) {
      const mounts = await snapshotter.prepare(ctx, `extract ${name}`, "", {
        labels: new Map([[snapshotRefLabel, name]]),
      });
      expect(mounts).toMatchObject([{ type: "bind", options: ["rbind", "rw"] }]);
    }
  });
});
