/** Shows 3 of issue 3: a real remote snapshotter, and images whose layers are fetched while they are used. */
import { readdirSync } from "node:fs";
import { busyboxImage, pushImage, randomBytesOf, startRegistry, type TestRegistry } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect } from "vitest";
import { findProgram, run, runOk, sha256, until } from "./support/command.ts";
import { startDaemon, type Daemon } from "./support/daemon.ts";
import { closeDaemon } from "./support/leaks.ts";
import { peerTest, requirePeers, stargzGrpc } from "./support/peers.ts";
import { pushEstargz, Stargz } from "./support/stargz.ts";
import { tableRows } from "./support/table.ts";

const peers = ["ctr-remote", stargzGrpc];
/** Cannot be compressed, and is larger than all else: whether it was fetched can be told by size. */
const big = randomBytesOf("big", 12_000_000);

let registry: TestRegistry;
let stargz: Stargz;
let daemon: Daemon;
let image: string;

beforeAll(async () => {
  if (!peers.every(findProgram)) return;
  requirePeers(["ctr", "containerd-shim-runc-v2", "runc", "docker-registry", "busybox"]);
  registry = await startRegistry();
  const files = [
    { path: "lazy/", type: "directory" },
    { path: "lazy/line", data: "fetched when it was read\n" },
    { path: "lazy/big", data: big },
  ];
  image = await pushEstargz(
    registry,
    "e2e/lazy",
    await busyboxImage({ applets: "symlink", layers: [{ entries: files }] }),
  );
  stargz = new Stargz();
  await stargz.start();
  const table = `[proxy_plugins.stargz]\ntype = "snapshot"\naddress = "${stargz.address}"\n`;
  daemon = await startDaemon("stargz", { config: table });
});

afterAll(async () => {
  if (daemon !== undefined) await closeDaemon(daemon);
  await stargz?.close();
  await registry?.[Symbol.asyncDispose]();
});

const ctr = (...args: string[]): Promise<string> => daemon.ctr(args);
const pullLazily = (namespace = daemon.namespace): Promise<string> =>
  runOk("ctr-remote", [...daemon.flags(namespace), "images", "rpull", "--plain-http", image], {
    env: { TMPDIR: daemon.tmp },
  });
const runLazily = (name: string, ...command: string[]): Promise<string> =>
  ctr("run", "--rm", "--snapshotter", "stargz", image, daemon.id(name), ...command);
const snapshots = async (): Promise<Record<string, string>[]> =>
  tableRows(await ctr("snapshots", "--snapshotter", "stargz", "ls"));

/** Digests of the blobs that the daemon has: by its own word, and in its directory. */
async function blobs(): Promise<{ listed: string[]; stored: string[] }> {
  const listed = (await ctr("content", "ls", "-q")).trim().split("\n");
  const stored = readdirSync(`${daemon.root}/io.containerd.content.v1.content/blobs/sha256`);
  return { listed: listed.toSorted(), stored: stored.map((hex) => `sha256:${hex}`).toSorted() };
}

/** Digests of manifest and configuration, and of the layers. */
async function digests(): Promise<{ documents: string[]; layers: string[] }> {
  const [, , target = ""] = (await ctr("images", "ls", `name==${image}`)).split("\n")[1]?.split(/\s+/) ?? [];
  const manifest = JSON.parse(await ctr("content", "get", target)) as {
    config: { digest: string };
    layers: { digest: string }[];
  };
  return {
    documents: [target, manifest.config.digest].toSorted(),
    layers: manifest.layers.map(({ digest }) => digest),
  };
}

async function removeImage(namespace = daemon.namespace): Promise<void> {
  await runOk("ctr", [...daemon.flags(namespace), "images", "rm", "--sync", image]);
}

async function expectNoLayers(): Promise<void> {
  await until(`no lazily pulled layer is mounted: ${stargz.layers().join(", ")}`, () => stargz.layers().length === 0);
}

peerTest("3: a container runs from layers that are not in the content store", peers, async () => {
  expect(await ctr("plugins", "ls", "id==stargz")).toMatch(/io\.containerd\.snapshotter\.v1 +stargz +\S+ +ok/);
  await pullLazily();
  const { documents, layers } = await digests();
  expect(layers).toHaveLength(2);
  expect(await blobs()).toEqual({ listed: documents, stored: documents });
  expect(stargz.layers()).toHaveLength(2);
  const kinds = (await snapshots()).map((row) => row["KIND"]);
  expect(kinds).toEqual(["Committed", "Committed"]);
  expect(stargz.fetchedBytes()).toBeLessThan(big.length / 2);

  expect(await runLazily("line", "cat", "/lazy/line")).toBe("fetched when it was read\n");
  expect(stargz.fetchedBytes()).toBeLessThan(big.length / 2);
  expect(await runLazily("big", "sha256sum", "/lazy/big")).toBe(`${sha256(big)}  /lazy/big\n`);
  expect(stargz.fetchedBytes()).toBeGreaterThan(big.length);

  expect(await blobs()).toEqual({ listed: documents, stored: documents });
  expect(await snapshots()).toHaveLength(2);
  await removeImage();
  expect(await snapshots()).toEqual([]);
  await expectNoLayers();
});

peerTest("3: what a container wrote can be committed on lazy layers", peers, async () => {
  await pullLazily();
  const id = daemon.id("writer");
  await ctr("run", "--snapshotter", "stargz", image, id, "sh", "-c", "echo written > /lazy/new; rm /lazy/line");
  await ctr("snapshots", "--snapshotter", "stargz", "commit", "layer", id);
  await ctr("snapshots", "--snapshotter", "stargz", "prepare", "again", "layer");
  const target = `${daemon.dir}/mounted`;
  const script = await ctr("snapshots", "--snapshotter", "stargz", "mounts", target, "again");
  const lines = ["mkdir $0", script, "ls $0/lazy", "umount $0", "rmdir $0"];
  expect(await runOk("sh", ["-ec", lines.join("\n"), target])).toBe("big\nnew\n");
  await ctr("containers", "rm", id);
  for (const key of ["again", "layer"]) await ctr("snapshots", "--snapshotter", "stargz", "rm", key);
  await removeImage();
  await expectNoLayers();
});

peerTest("3: containers on lazy layers outlive the daemon", peers, async () => {
  await pullLazily();
  const id = daemon.id("outlives");
  await ctr("run", "-d", "--snapshotter", "stargz", image, id, "sleep", "1000");
  await daemon.kill9();
  await daemon.restart();
  expect(await ctr("tasks", "exec", "--exec-id", "after", id, "cat", "/lazy/line")).toBe("fetched when it was read\n");
  expect(await runLazily("new", "cat", "/lazy/line")).toBe("fetched when it was read\n");
  // The first collection of a run looks through the whole backend; what is in use must stay.
  await runOk("ctr", [...daemon.flags(), "leases", "create", "--id", "collect"]);
  await runOk("ctr", [...daemon.flags(), "leases", "rm", "--sync", "collect"]);
  expect(stargz.layers()).toHaveLength(2);
  expect(await ctr("tasks", "exec", "--exec-id", "later", id, "cat", "/lazy/line")).toBe("fetched when it was read\n");
  await ctr("tasks", "rm", "-f", id);
  await ctr("containers", "rm", id);
  await removeImage();
  await expectNoLayers();
});

peerTest("3: the snapshotter's own restart brings the layers back", peers, async () => {
  await pullLazily();
  await stargz.stop();
  await stargz.start();
  await until("the daemon reaches it again", async () => {
    const result = await daemon.tryCtr(["snapshots", "--snapshotter", "stargz", "ls"]);
    return result.code === 0;
  });
  expect(await runLazily("again", "cat", "/lazy/line")).toBe("fetched when it was read\n");
  await removeImage();
  await expectNoLayers();
});

peerTest("3: namespaces share lazy layers, and the last one to remove them takes them away", peers, async () => {
  const other = daemon.otherNamespace("other");
  await pullLazily();
  await pullLazily(other);
  await removeImage();
  const args = ["run", "--rm", "--snapshotter", "stargz", image, daemon.id("shared"), "cat", "/lazy/line"];
  expect(await runOk("ctr", [...daemon.flags(other), ...args])).toBe("fetched when it was read\n");
  await removeImage(other);
  await expectNoLayers();
});

peerTest("3: an ordinary image is unpacked by the remote snapshotter", peers, async () => {
  const plain = await pushImage(registry, "e2e/ordinary", "1", await busyboxImage({ applets: "symlink" }));
  await ctr("images", "pull", "--plain-http", "--snapshotter", "stargz", plain);
  expect(stargz.layers()).toEqual([]);
  expect(await ctr("run", "--rm", "--snapshotter", "stargz", plain, daemon.id("plain"), "echo", "hi")).toBe("hi\n");
  await ctr("images", "rm", "--sync", plain);
  expect(await snapshots()).toEqual([]);
});

peerTest("3: without the snapshotter's process a call fails and names it", peers, async () => {
  await stargz.stop();
  const result = await run("ctr", [...daemon.flags(), "snapshots", "--snapshotter", "stargz", "prepare", "x"]);
  expect(result.code).not.toBe(0);
  expect(result.stderr).toMatch(/unavailable/i);
  await stargz.start();
  await until("the daemon reaches it again", async () => {
    const again = await daemon.tryCtr(["snapshots", "--snapshotter", "stargz", "prepare", "x"]);
    return again.code === 0;
  });
  await ctr("snapshots", "--snapshotter", "stargz", "rm", "x");
});
