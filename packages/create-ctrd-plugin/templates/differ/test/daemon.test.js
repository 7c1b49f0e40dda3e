import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DiffPlugin } from "@ctrd/core/diff";
import { DiffService } from "@ctrd/core/services";
import { proxyContentStore, proxyDiffer } from "@ctrd/services";
import { startTestDaemon } from "@ctrd/testkit/daemon";
import { tempDir } from "@ctrd/testkit/fixtures";
import { expect, test } from "vitest";
import plugin from "__name__/plugin";

const config = { plugins: { "io.containerd.service.v1.diff-service": { default: ["__id__", "walking"] } } };

/** A tree, as the mounts that show it. */
async function tree(/** @type {string} */ path, /** @type {Record<string, string>} */ files) {
  await mkdir(path);
  for (const [file, content] of Object.entries(files)) await writeFile(join(path, file), content);
  return [{ type: "bind", source: path, target: "", options: ["rbind", "rw"] }];
}

test("a daemon makes and applies layers with it", async () => {
  await using daemon = await startTestDaemon({ plugins: [plugin], config });
  await using directory = await tempDir();
  const lower = await tree(join(directory.path, "lower"), { changed: "before", gone: "gone" });
  const upper = await tree(join(directory.path, "upper"), { changed: "after", added: "added" });
  const differ = proxyDiffer(daemon.channel());
  const layer = await differ.compare(daemon.ctx, lower, upper);
  const { size } = await proxyContentStore(daemon.channel()).info(daemon.ctx, layer.digest);
  expect(layer.size).toBe(size);
  await differ.apply(daemon.ctx, layer, lower);
  expect((await readdir(join(directory.path, "lower"))).toSorted()).toEqual(["added", "changed"]);
  expect(await readFile(join(directory.path, "lower/changed"), "utf8")).toBe("after");
  expect(await readdir(`${daemon.state}/io.containerd.differ.v1.__id__`)).toEqual([]);
});

test("it passes on what it does not know, and the daemon asks the next differ", async () => {
  await using daemon = await startTestDaemon({ plugins: [plugin], config });
  const digest = `sha256:${"0".repeat(64)}`;
  const layer = { mediaType: "application/vnd.example.layer", digest, size: 1n, annotations: new Map() };
  const own = daemon.daemon.find({ type: DiffPlugin, id: "__id__" });
  await expect(own?.apply(daemon.ctx, layer, [])).rejects.toMatchObject({ kind: "not-implemented" });
  await expect(daemon.daemon.find(DiffService)?.apply(daemon.ctx, layer, [])).rejects.toThrow("no differ can");
});
