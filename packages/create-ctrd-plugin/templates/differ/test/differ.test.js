import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import { DiffPlugin } from "@ctrd/core/diff";
import { kindOf } from "@ctrd/core/errors";
import { ContentService, DiffService } from "@ctrd/core/services";
import { startTestDaemon } from "@ctrd/testkit/daemon";
import { afterAll, beforeAll, expect, test } from "vitest";
import plugin from "__name__/plugin";

const ctx = createContext({ namespace: "test" });
/** @type {string} */
let directory;
/** @type {import("@ctrd/testkit/daemon").StartedTestDaemon} */
let started;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "differ-"));
  const plugins = { "io.containerd.service.v1.diff-service": { default: ["__id__", "walking"] } };
  started = await startTestDaemon({ plugins: [plugin], config: { plugins } });
});

afterAll(async () => {
  await started?.stop();
  await rm(directory, { recursive: true, force: true });
});

/** The plugin, in the daemon. */
function differ() {
  const found = started.daemon.find({ type: DiffPlugin, id: "__id__" });
  if (found === undefined) throw new Error("there is no differ");
  return found;
}

/** A tree, as the mounts that show it. */
async function tree(/** @type {string} */ name, /** @type {Record<string, string>} */ files) {
  const path = join(directory, name);
  await mkdir(path);
  for (const [file, content] of Object.entries(files)) await writeFile(join(path, file), content);
  return { path, mounts: [{ type: "bind", source: path, target: "", options: ["rbind", "rw"] }] };
}

test.each(["tar", "tar+gzip", "tar+zstd"])(
  "a layer of type %s turns the lower tree into the upper one",
  async (type) => {
    const lower = await tree(`lower ${type}`, { same: "same", changed: "before", gone: "gone" });
    const upper = await tree(`upper ${type}`, { same: "same", changed: "after", added: "x".repeat(3_000_000) });
    await chmod(join(upper.path, "added"), 0o4750);
    const mediaType = `application/vnd.oci.image.layer.v1.${type}`;
    const layer = await differ().compare(ctx, lower.mounts, upper.mounts, { mediaType });
    expect(layer.mediaType).toBe(mediaType);
    const content = started.daemon.find(ContentService);
    const info = await content?.info(ctx, layer.digest);
    expect(info?.size).toBe(layer.size);

    const applied = await differ().apply(ctx, layer, lower.mounts, { syncFs: true });
    expect((await readdir(lower.path)).toSorted()).toEqual(["added", "changed", "same"]);
    expect(await readFile(join(lower.path, "changed"), "utf8")).toBe("after");
    expect((await stat(join(lower.path, "added"))).mode & 0o7777).toBe(0o4750);
    const uncompressed = info?.labels.get("containerd.io/uncompressed") ?? layer.digest;
    expect(applied.digest).toBe(uncompressed);
  },
);

test("a layer of a base image is the difference from nothing", async () => {
  const upper = await tree("base", { a: "a" });
  const target = await tree("base target", {});
  const layer = await differ().compare(ctx, [], upper.mounts);
  await differ().apply(ctx, layer, target.mounts);
  expect(await readdir(target.path)).toEqual(["a"]);
});

test("passes on what it does not know, and the daemon asks the next differ", async () => {
  const mediaType = "application/vnd.example.layer";
  const layer = { mediaType, digest: `sha256:${"0".repeat(64)}`, size: 1n, annotations: new Map() };
  await expect(differ().apply(ctx, layer, [])).rejects.toMatchObject({ kind: "not-implemented" });
  await expect(differ().compare(ctx, [], [], { mediaType })).rejects.toMatchObject({ kind: "not-implemented" });
  await expect(started.daemon.find(DiffService)?.apply(ctx, layer, [])).rejects.toThrow("no differ can");
});

test("a cancelled or failed call leaves neither mounts nor files", async () => {
  const { mounts } = await tree("cancelled", {});
  const controller = new AbortController();
  const cancelled = { ...ctx, signal: controller.signal };
  const large = await tree("large", { data: "x".repeat(50_000_000) });
  const compared = differ().compare(cancelled, mounts, large.mounts);
  setTimeout(() => controller.abort(), 50);
  expect(await compared.then(() => "ok", kindOf)).toBe("canceled");
  const missing = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: `sha256:${"1".repeat(64)}` };
  await expect(differ().apply(ctx, { ...missing, size: 1n, annotations: new Map() }, mounts)).rejects.toMatchObject({
    kind: "not-found",
  });
  expect(await readdir(`${started.state}/io.containerd.differ.v1.__id__`)).toEqual([]);
  expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(directory);
});
