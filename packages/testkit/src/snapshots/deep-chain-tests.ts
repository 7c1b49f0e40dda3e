import { join } from "node:path";
import { expect, it } from "vitest";
import type { CurrentBench, SnapshotterSuiteOptions } from "./suite.ts";
import { describeTree, makeDir, remove, write } from "./trees.ts";

/** The change of one layer: a file that all overwrite, one that adds up, a directory that each replaces. */
function change(directory: string, layer: number): void {
  write(join(directory, "overwritten"), `${layer} was here`);
  write(join(directory, `added/file-${layer}`), "same");
  if (layer > 0) remove(join(directory, "replaced"));
  makeDir(join(directory, "replaced"));
  write(join(directory, `replaced/file-${layer}`), "only mine");
}

/** Chains of many layers. */
export function deepChainTests(current: CurrentBench, options: SnapshotterSuiteOptions): void {
  it("stacks more layers than fit in one page of mount options", { timeout: 120_000 }, async () => {
    const { snapshotter, ctx } = current();
    const depth = options.depth ?? 140;
    const flat = current().directory("flat");
    let parent = "";
    for (let layer = 0; layer < depth; layer++) {
      // Names like chain ids: the ids in the mount options must not grow with them.
      const name = `sha256:${String(layer).padStart(64, "0")}`;
      const key = `extract-${layer} ${name}`;
      await current().mounted(await snapshotter.prepare(ctx, key, parent), (directory) => {
        if (layer % 20 === 0) expect(describeTree(directory), `below layer ${layer}`).toEqual(describeTree(flat));
        change(flat, layer);
        change(directory, layer);
      });
      await snapshotter.commit(ctx, name, key);
      parent = name;
    }
    await current().view(parent, (directory) => expect(describeTree(directory)).toEqual(describeTree(flat)));
    await current().mounted(await snapshotter.prepare(ctx, "top", parent), (directory) => {
      change(flat, depth);
      change(directory, depth);
      expect(describeTree(directory)).toEqual(describeTree(flat));
    });
    expect((await current().walk()).length).toBe(depth + 1);
    await current().removeAll();
  });

  it("follows every parent of a chain", async () => {
    const { snapshotter, ctx } = current();
    let parent = "";
    for (let layer = 0; layer < 25; layer++) parent = await current().layer(`layer ${layer}`, parent);
    const chain: string[] = [];
    for (let name = parent; name !== "";) {
      chain.push(name);
      name = (await snapshotter.stat(ctx, name)).parent;
    }
    expect(chain).toEqual(Array.from({ length: 25 }, (_, index) => `layer ${24 - index}`));
  });
}
