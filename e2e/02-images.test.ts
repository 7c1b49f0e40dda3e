/** Shows 2: images in and out, and what is on disk after collection. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  buildImage,
  buildIndex,
  busyboxImage,
  layeredImage,
  mountsBelow,
  pushImage,
  type BuiltImage,
  type Compression,
} from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runOk, sha256, until } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { tableRows } from "./support/table.ts";

let h: Harness;
beforeAll(async () => (h = await openHarness("images", { pull: false })));
afterAll(() => h?.close());

const ctr = (...args: string[]): Promise<string> => h.daemon.ctr(args);
const lines = (text: string): string[] =>
  text
    .trim()
    .split("\n")
    .filter((line) => line !== "");
const contentDir = (): string => join(h.daemon.root, "io.containerd.content.v1.content");
const blobsOnDisk = (): string[] =>
  entries(join(contentDir(), "blobs/sha256"))
    .map((hex) => `sha256:${hex}`)
    .sort();
const entries = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : []);
const digests = (image: BuiltImage): string[] => [image.root, ...image.blobs].map((blob) => blob.descriptor.digest);

function chainId(diffIds: readonly string[]): string {
  return diffIds.reduce((chain, diffId) => (chain === "" ? diffId : `sha256:${sha256(`${chain} ${diffId}`)}`), "");
}

/** The rest of the daemon is idle: after a collection exactly these blobs are on disk, each with its own bytes. */
async function expectBlobs(expected: readonly string[]): Promise<void> {
  await ctr("leases", "create", "--id", "collect");
  await ctr("leases", "rm", "--sync", "collect");
  expect(blobsOnDisk()).toEqual([...new Set(expected)].sort());
  expect(lines(await ctr("content", "ls", "-q")).sort()).toEqual([...new Set(expected)].sort());
  expect(entries(join(contentDir(), "ingest"))).toEqual([]);
  for (const digest of blobsOnDisk()) {
    expect(`sha256:${sha256(readFileSync(join(contentDir(), "blobs", digest.replace(":", "/"))))}`).toBe(digest);
  }
}

const cases: [layers: number, compression: Compression][] = [
  [1, "gzip"],
  [1, "zstd"],
  [5, "gzip"],
  [5, "zstd"],
  [5, "none"],
  [40, "gzip"],
  [40, "zstd"],
];

test.for(cases)("2: pull of %i layers, %s, then rm --sync", async ([count, compression]) => {
  const image = await layeredImage(count, { compression });
  const ref = await pushImage(h.registry, `e2e/layers-${count}`, compression, image);
  expect(await ctr("images", "pull", "--plain-http", ref)).toMatch(/done: [\d.]+m?s/);
  const chain = chainId(image.layers.map((layer) => layer.diffId));
  expect(tableRows(await ctr("snapshots", "ls")).length).toBe(count);
  expect(JSON.parse(await ctr("snapshots", "info", chain))).toMatchObject({ Kind: "Committed", Name: chain });
  const target = h.path(`mnt-${count}-${compression}`);
  mkdirSync(target);
  await ctr("images", "mount", ref, target);
  expect(readFileSync(join(target, "top"), "utf8")).toBe(`${count - 1}\n`);
  expect(entries(join(target, "layers")).length).toBe(count);
  await ctr("images", "unmount", "--rm", target);
  await expectBlobs(digests(image));
  const [checked] = tableRows(await ctr("images", "check"));
  expect(checked).toMatchObject({ STATUS: `complete (${count + 1}/${count + 1})`, UNPACKED: "true" });
  expect(await ctr("images", "rm", "--sync", ref)).toBe(`${ref}\n`);
  await expectBlobs([]);
  expect(tableRows(await ctr("snapshots", "ls"))).toEqual([]);
  await until("the snapshotter's directories are gone", () => entries(overlayDirs()).length === 0);
});

const overlayDirs = (): string => join(h.daemon.root, "io.containerd.snapshotter.v1.overlayfs/snapshots");

test("2: a multi-platform index: this platform, then all", async () => {
  const other = await buildImage({
    layers: [{ entries: [{ path: "other", data: "other platform" }] }],
    platform: { os: "linux", architecture: h.busybox.platform.architecture === "arm64" ? "amd64" : "arm64" },
  });
  const index = buildIndex([h.busybox, other]);
  const ref = await pushImage(h.registry, "e2e/multi", "1", index);
  await ctr("images", "pull", "--plain-http", ref);
  const [row] = tableRows(await ctr("images", "ls"));
  expect(row).toMatchObject({ REF: ref, DIGEST: index.root.descriptor.digest, TYPE: index.root.descriptor.mediaType });
  await expectBlobs([index.root.descriptor.digest, ...digests(h.busybox)]);
  const everywhere = (): Promise<string> => ctr("images", "pull", "--plain-http", "--all-platforms", ref);
  await everywhere();
  await expectBlobs([index.root.descriptor.digest, ...digests(h.busybox), ...digests(other)]);
  const platforms = tableRows(await ctr("images", "ls"))[0]?.["PLATFORMS"];
  expect(platforms?.split(",").sort()).toEqual(["linux/amd64", "linux/arm64"]);

  const tar = h.path("multi.tar");
  await ctr("images", "export", "--all-platforms", tar, ref);
  await ctr("images", "rm", "--sync", ref);
  await expectBlobs([]);
  expect(await ctr("images", "import", "--all-platforms", tar)).toContain(`unpacking ${ref}`);
  await expectBlobs([index.root.descriptor.digest, ...digests(h.busybox), ...digests(other)]);
  await ctr("images", "rm", "--sync", ref);
});

test("2: push to the registry, with all blobs", async () => {
  const image = await layeredImage(3);
  const ref = await pushImage(h.registry, "e2e/to-push", "1", image);
  await ctr("images", "pull", "--plain-http", ref);
  await ctr("images", "push", "--plain-http", `${h.registry.host}/e2e/pushed:1`, ref);
  const manifest = await fetch(`${h.registry.url}/v2/e2e/pushed/manifests/1`, {
    headers: { accept: image.root.descriptor.mediaType },
  });
  expect(await manifest.text()).toBe((await image.root.bytes()).toString());
  for (const blob of image.blobs) {
    const answer = await fetch(`${h.registry.url}/v2/e2e/pushed/blobs/${blob.descriptor.digest}`);
    expect(sha256(new Uint8Array(await answer.arrayBuffer()))).toBe(blob.descriptor.digest.slice(7));
  }
  await ctr("images", "rm", "--sync", ref);
});

test("2: export and import keep names, digests and bytes", async () => {
  await ctr("images", "pull", "--plain-http", h.image);
  const tar = h.path("export.tar");
  await ctr("images", "export", tar, h.image);
  const names = lines(await runOk("tar", ["tf", tar]));
  for (const digest of digests(h.busybox)) expect(names).toContain(`blobs/${digest.replace(":", "/")}`);
  expect(names).toEqual(expect.arrayContaining(["index.json", "manifest.json", "oci-layout"]));
  await ctr("images", "rm", "--sync", h.image);
  await expectBlobs([]);
  const digest = h.busybox.root.descriptor.digest;
  expect(await ctr("images", "import", "--digests", "--base-name", "imported", tar)).toContain("done");
  expect(lines(await ctr("images", "ls", "-q")).sort()).toEqual([h.image, `imported@${digest}`].sort());
  await expectBlobs(digests(h.busybox));
  await ctr("images", "rm", "--sync", h.image, `imported@${digest}`);
});

test("2: mount read-only and writable, unmount leaves nothing mounted", async () => {
  await ctr("images", "pull", "--plain-http", h.image);
  const target = h.path("mount");
  mkdirSync(target);
  await ctr("images", "mount", h.image, target);
  expect(await runOk("stat", ["-c", "%i", join(target, "bin/busybox")])).toMatch(/^\d+\n$/);
  await expect(runOk("touch", [join(target, "x")])).rejects.toThrow("Read-only file system");
  expect(await ctr("images", "unmount", "--rm", target)).toContain(target);
  await ctr("images", "mount", "--rw", h.image, target);
  await runOk("touch", [join(target, "x")]);
  await ctr("images", "unmount", "--rm", target);
  expect(await mountsBelow(h.daemon.dir)).toEqual([]);
  expect(tableRows(await ctr("snapshots", "ls")).length).toBe(1);
});

test("2: an image shared by two names and two namespaces keeps its blobs until the last is gone", async () => {
  const other = h.daemon.otherNamespace("shared");
  await ctr("images", "pull", "--plain-http", h.image);
  await ctr("images", "tag", h.image, "second:1");
  const elsewhere = (...args: string[]): Promise<string> => runOk("ctr", [...h.daemon.flags(other), ...args]);
  await elsewhere("images", "pull", "--plain-http", h.image);
  await ctr("images", "rm", "--sync", h.image);
  await expectBlobs(digests(h.busybox));
  await ctr("images", "rm", "--sync", "second:1");
  expect(await ctr("content", "ls", "-q")).toBe("");
  expect(blobsOnDisk()).toEqual(digests(h.busybox).sort());
  await elsewhere("images", "rm", "--sync", h.image);
  await expectBlobs([]);
});

test("2: an interrupted ingest is kept while it is fresh, and resumes", async () => {
  const data = "0123456789abcdef".repeat(200_000); // ctr sends pieces of 1 MiB
  const client = h.daemon.spawnCtr(["content", "ingest", "resumed"]);
  client.stdin?.write(data.slice(0, 2_500_000));
  await until("the ingest has data", async () => /resumed\s+2/.test(await ctr("content", "active")));
  client.kill("SIGKILL");
  await ctr("leases", "create", "--id", "collect");
  await ctr("leases", "rm", "--sync", "collect");
  await h.daemon.restart();
  expect(await ctr("content", "active")).toMatch(/resumed\s+2/);
  const file = h.path("ingest-data");
  writeFileSync(file, data);
  // ctr resumes by seeking, so its input must be a file.
  await runOk("sh", ["-c", `ctr ${h.daemon.flags().join(" ")} content ingest resumed < ${file}`]);
  expect(lines(await ctr("content", "ls", "-q"))).toEqual([`sha256:${sha256(data)}`]);
  await expectBlobs([]);
});

test("2: zstd and gzip busybox images run", async () => {
  for (const compression of ["zstd", "gzip", "none"] as const) {
    const image = await busyboxImage({ compression, applets: "hardlink" });
    const ref = await pushImage(h.registry, "e2e/runs", compression, image);
    await ctr("images", "pull", "--plain-http", ref);
    expect(await ctr("run", "--rm", ref, h.daemon.id(compression), "echo", compression)).toBe(`${compression}\n`);
    await ctr("images", "rm", "--sync", ref);
  }
});
