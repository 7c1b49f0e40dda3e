import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { mountAll, unmountAll } from "@ctrd/sys";
import { expect, it } from "vitest";
import type { TarEntry } from "../fixtures/tar-writer.ts";
import { tarBuffer } from "../fixtures/tar-writer.ts";
import { describeTree } from "../snapshots/trees.ts";
import { bind, mediaTypes, overlay } from "./bench.ts";
import type { CurrentDiffBench } from "./suite.ts";

const base: TarEntry[] = [
  { path: "keep", data: "keep" },
  { path: "gone", data: "gone" },
  { path: "tree/a/b/c", data: "c" },
  { path: "tree/d", data: "d" },
  { path: "full/", type: "directory", mode: 0o750, uid: 4 },
  { path: "full/one", data: "1" },
  { path: "full/two/three", data: "3" },
  { path: "link", type: "symlink", linkname: "keep" },
  { path: "dangling", type: "symlink", linkname: "nowhere" },
];

/** The layer that takes away, and what is left of {@link base}. */
const removing: TarEntry[] = [
  { path: ".wh.gone" },
  { path: "tree/.wh.a" },
  { path: ".wh.link" },
  { path: ".wh.dangling" },
  { path: ".wh.never-there" },
  { path: "full/", type: "directory", mode: 0o750, uid: 4 },
  { path: "full/new", data: "new" },
  { path: "full/.wh..wh..opq" },
  { path: "full/later", data: "later" },
];
const left = ["full", "full/later", "full/new", "keep", "tree", "tree/d"];

const paths = (root: string): string[] => readdirSync(root, { recursive: true }).map(String).sort();

/** Whiteouts and opaque directories, in directories and in the upper directory of an overlay. */
export function whiteoutTests(current: CurrentDiffBench): void {
  it("removes what whiteouts name, and what an opaque directory had before", async () => {
    const root = await current().applied(base);
    await current().applied(removing, root);
    expect(paths(root)).toEqual(left);
    await current().applied(removing, root);
    expect(paths(root)).toEqual(left);
  });

  it("makes anew what the same layer whites out", async () => {
    const root = await current().applied(base);
    await current().applied([{ path: ".wh.tree" }, { path: "tree/", type: "directory" }, { path: "tree/new" }], root);
    expect(readdirSync(join(root, "tree"))).toEqual(["new"]);
  });

  it("takes names after the prefix literally", async () => {
    const root = await current().applied([{ path: ".wh.x" }, { path: "y/z" }]);
    expect(paths(root)).toEqual(["y", "y/z"]);
    // The whiteout of a file that is called like a whiteout.
    await current().applied([{ path: "y/.wh..wh.z" }], root);
    expect(paths(root)).toEqual(["y", "y/z"]);
  });

  it("refuses a whiteout that leaves its directory", async () => {
    for (const path of [".wh..", ".wh...", "tree/.wh..", "tree/.wh..."]) {
      const root = await current().applied(base);
      const { differ, ctx } = current();
      await expect(differ.apply(ctx, await current().layer([{ path }]), [bind(root)]), path).rejects.toThrow();
      expect(existsSync(join(root, "tree/d"))).toBe(true);
    }
  });
}

/** Layers applied to an overlay must look as if they were applied to a copy of what is below. */
export function overlayTests(current: CurrentDiffBench): void {
  it("applies to an overlay what it applies to a directory", async () => {
    const [lower, copy] = [await current().applied(base), await current().applied(base)];
    const [upper, work] = [current().directory("upper"), current().directory("work")];
    const mounts = [overlay([lower], { directory: upper, work })];
    const before = describeTree(lower);
    const layer = await current().layer([...removing, { path: "tree/d", data: "changed", mode: 0o600 }]);
    await current().differ.apply(current().ctx, layer, mounts, { syncFs: true });
    await current().differ.apply(current().ctx, layer, [bind(copy)]);
    expect(describeTree(lower), "lower directory").toEqual(before);
    expect(describeTree(current().mount(mounts))).toEqual(describeTree(copy));
  });

  it("gives directories that the layer does not name the attributes of those below", async () => {
    const [far, near] = [await current().applied(base), await current().applied([{ path: "other/x", data: "x" }])];
    const [upper, work] = [current().directory("upper"), current().directory("work")];
    const mounts = [overlay([near, far], { directory: upper, work })];
    const layer = await current().layer([{ path: "full/two/new", data: "new" }]);
    await current().differ.apply(current().ctx, layer, mounts);
    const merged = current().mount(mounts);
    expect(lstatSync(join(merged, "full")).mode & 0o7777).toBe(0o750);
    expect(lstatSync(join(merged, "full")).uid).toBe(4);
    expect(readdirSync(join(merged, "full/two"))).toEqual(["new", "three"]);
  });

  it("applies one layer over the other", async () => {
    const [one, two, work] = [current().directory("one"), current().directory("two"), current().directory("work")];
    const bottom = current().directory("bottom");
    await current().differ.apply(current().ctx, await current().layer(base), [
      overlay([bottom], { directory: one, work }),
    ]);
    const mounts = [overlay([one, bottom], { directory: two, work: current().directory("work") })];
    await current().differ.apply(current().ctx, await current().layer(removing), mounts);
    expect(paths(current().mount(mounts))).toEqual(left);
  });
}

/** Mounts that are more than one directory. */
export function mountTests(current: CurrentDiffBench): void {
  it("applies to several mounts, one below the other, and leaves none mounted", async () => {
    const [root, disk] = [current().directory("root"), current().directory("disk")];
    await current().applied([{ path: "disk/", type: "directory" }], root);
    const mounts = [bind(root), { ...bind(disk), target: "disk" }];
    const { differ, ctx } = current();
    await differ.apply(ctx, await current().layer([{ path: "disk/a/file" }, { path: "file" }]), mounts);
    expect([paths(root), paths(disk)]).toEqual([
      ["disk", "file"],
      ["a", "a/file"],
    ]);
    const broken = await current().blob(tarBuffer([{ path: "disk/b" }]).subarray(0, 300), mediaTypes.none);
    await expect(differ.apply(ctx, broken, mounts)).rejects.toThrow();
    expect(await current().leftMounts()).toEqual([]);
  });

  it("applies to a file system that is not mounted yet", async () => {
    const image = current().directory("tmp");
    mountAll([{ type: "tmpfs", source: "tmpfs", target: "", options: ["size=16m"] }], image);
    try {
      await current().applied([{ path: "a/b", data: "x" }], image);
      expect(paths(image)).toEqual(["a", "a/b"]);
    } finally {
      unmountAll(image);
    }
    const tmpfs = { type: "tmpfs", source: "tmpfs", target: "", options: ["size=16m"] };
    const layer = await current().layer([{ path: "a/b", data: "x" }]);
    expect((await current().differ.apply(current().ctx, layer, [tmpfs])).size).toBe(layer.size);
    expect(await current().leftMounts()).toEqual([]);
  });
}
