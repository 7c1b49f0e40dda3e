/**
 * Issue 6, Build 3: a root of an earlier version opens, one of a later version is refused, a real containerd's is left
 * alone.
 *
 * `fixtures/first-root.tar.gz` was written by the first version that ran containers (commit 873640a), through ctr and the
 * API: in the namespace `old` an image of two layers, unpacked; a container on it; a blob that a lease alone keeps; and an
 * upload that was not finished. Whoever changes what is on disk adds a fixture and keeps these.
 */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Client } from "@ctrd/client";
import { mountAll, unmountAll } from "@ctrd/sys";
import { openDurableEnv } from "@ctrd/storage";
import { mustRun, startContainerd, startCtrd, type TestDaemon } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, expect } from "vitest";
import { runName } from "./support/machine-state.ts";
import { ctrdTest, requirePeers } from "./support/peers.ts";

const namespace = "old";
const image = "example.com/small:1";
const leasedBlob = "sha256:cd0269c26e2f278d71b3718f4921cae60efa4e0f50861b53c1ed6cab5d0e1dd3";
const metadataFile = "root/io.containerd.metadata.v1.bolt/meta.lmdb";
const snapshotsFile = "root/io.containerd.snapshotter.v1.overlayfs/metadata.db";

let dir: string;
let running: TestDaemon | undefined;
beforeEach(() => {
  requirePeers(["ctr"]);
  dir = mkdtempSync(join(tmpdir(), `${runName()}-upgrade-`));
});
afterEach(async () => {
  await running?.[Symbol.asyncDispose]();
  running = undefined;
  rmSync(dir, { recursive: true });
});

async function oldRoot(): Promise<void> {
  await mustRun("tar", ["-xzf", join(import.meta.dirname, "fixtures/first-root.tar.gz"), "-C", dir]);
}

async function start(): Promise<TestDaemon> {
  running = await startCtrd({ dir });
  return running;
}

/** Starts it, and returns why it did not. */
async function refusal(): Promise<string> {
  return start().then(
    () => "it has started",
    (error: unknown) => String(error),
  );
}

async function withClient<T>(daemon: TestDaemon, body: (client: Client) => Promise<T>): Promise<T> {
  const client = await connect(daemon.address, { namespace });
  try {
    return await body(client);
  } finally {
    client.close();
  }
}

/** Path, size, time of change and digest of every file. */
function inventory(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { size, mtimeMs } = statSync(path);
      const digest = entry.isFile() ? createHash("sha256").update(readFileSync(path)).digest("hex") : "";
      return `${path} ${size} ${mtimeMs} ${digest}`;
    })
    .toSorted();
}

async function expectOldThings(client: Client): Promise<void> {
  const ctx = client.context();
  const found = await client.getImage(image);
  expect(await found.isUnpacked({ snapshotter: "overlayfs" })).toBe(true);
  const { config, layers } = await found.manifest();
  for (const { digest, size } of [config, ...layers])
    expect((await client.content.info(ctx, digest)).size).toBe(BigInt(size));
  expect(Buffer.from(await readBlob(client, leasedBlob)).toString()).toBe("kept by a lease alone\n");
  const container = await client.loadContainer("resting");
  expect(container.labels.get("kept")).toBe("yes");
  // What the layers hold is seen through the container's snapshot.
  const target = join(dir, "mnt");
  mkdirSync(target, { recursive: true });
  mountAll(await client.snapshotter("overlayfs").mounts(ctx, "resting"), target);
  try {
    expect(readFileSync(join(target, "etc/hello"), "utf8")).toBe("hello from the first version\n");
    expect(readFileSync(join(target, "second"), "utf8")).toBe("2\n");
  } finally {
    unmountAll(target);
  }
}

async function readBlob(client: Client, digest: string): Promise<Uint8Array> {
  const reader = await client.content.reader(client.context(), digest);
  try {
    return await reader.read(0n, Number(reader.size));
  } finally {
    await reader.close();
  }
}

ctrdTest("6.3: a root of the first version opens: nothing is lost, also not by a collection", async () => {
  await oldRoot();
  const daemon = await start();
  await withClient(daemon, async (client) => {
    await expectOldThings(client);
    const ctx = client.context();
    // A synchronous collection looks through all of the backends.
    await client.images.create(ctx, { ...(await client.images.get(ctx, image)), name: "example.com/other:1" });
    await client.images.delete(ctx, "example.com/other:1", { sync: true });
    await expectOldThings(client);
  });
  const { stdout } = await daemon.ctr(["leases", "ls"], { namespace });
  expect(stdout).toMatch(/held .*why=upgrade/);
  // What is there goes by today's rules: without its lease the blob is garbage.
  await daemon.ctr(["leases", "rm", "--sync", "held"], { namespace });
  await withClient(daemon, async (client) => {
    await expect(client.content.info(client.context(), leasedBlob)).rejects.toMatchObject({ kind: "not-found" });
  });
});

ctrdTest("6.3: a root of a later version is refused by file, version and remedy, and is left as it is", async () => {
  await oldRoot();
  const file = join(dir, metadataFile);
  const schema = { name: "metadata", version: 1000, migrate: () => undefined };
  await openDurableEnv({ path: file, schema }).close();
  const before = inventory(join(dir, "root/io.containerd.content.v1.content"));
  const text = await refusal();
  expect(text).toContain(file);
  expect(text).toMatch(/layout 1000 of metadata, this program knows \d+/);
  expect(text).toMatch(/use the newer program/);
  expect(inventory(join(dir, "root/io.containerd.content.v1.content"))).toEqual(before);
  // The newer program finds it as it was.
  await openDurableEnv({ path: file, schema }).close();
});

ctrdTest("6.3: a snapshotter of a later version is left out, and what is on it is kept", async () => {
  await oldRoot();
  const schema = { name: "snapshots", version: 1000, migrate: () => undefined };
  const file = join(dir, snapshotsFile);
  await openDurableEnv({ path: file, schema }).close();
  const before = inventory(join(dir, "root/io.containerd.snapshotter.v1.overlayfs/snapshots"));
  const daemon = await start();
  const { stdout } = await daemon.ctr(["plugins", "ls"]);
  expect(stdout).toMatch(/io\.containerd\.snapshotter\.v1 +overlayfs +\S+ +error/);
  expect(daemon.logs()).toContain("layout 1000 of snapshots");
  await withClient(daemon, async (client) => {
    const ctx = client.context();
    await client.images.create(ctx, { ...(await client.images.get(ctx, image)), name: "example.com/other:1" });
    await client.images.delete(ctx, "example.com/other:1", { sync: true });
  });
  expect(inventory(join(dir, "root/io.containerd.snapshotter.v1.overlayfs/snapshots"))).toEqual(before);
});

ctrdTest("6.3: a root of containerd is refused and not changed", async () => {
  requirePeers(["containerd"]);
  const peer = await startContainerd({ dir });
  try {
    expect((await peer.ctr(["leases", "create", "--id", "mine"])).exitCode).toBe(0);
  } finally {
    await peer.stop();
  }
  const before = inventory(join(dir, "root"));
  expect(before.length).toBeGreaterThan(3);
  const text = await refusal();
  expect(text).toContain(`root directory ${join(dir, "root")} belongs to containerd`);
  expect(text).toContain("set root to another directory");
  expect(inventory(join(dir, "root"))).toEqual(before);
  await peer.restart();
  try {
    expect((await peer.ctr(["leases", "ls", "-q"])).stdout).toBe("mine\n");
  } finally {
    await peer[Symbol.asyncDispose]();
  }
});
