/** Issue 6, Shows 1: a full disk gives clear errors, corrupts nothing, and is no trouble once there is space. */
import { mkdtempSync, rmSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Client } from "@ctrd/client";
import { connect, nullIo } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { withImageConfig } from "@ctrd/oci";
import type { SmallDisk } from "@ctrd/testkit/faults";
import { mountSmallDisk } from "@ctrd/testkit/faults";
import type { TestRegistry } from "@ctrd/testkit/fixtures";
import { buildImage, busyboxImage, pushImage, randomBytesOf, startCtrd, startRegistry } from "@ctrd/testkit/fixtures";
import type { TestDaemon } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { run, sha256 } from "./support/command.ts";
import { leftMounts, removeNamespaceDirectories } from "./support/leaks.ts";
import { runName, list } from "./support/machine-state.ts";
import { ctrdTest, repository } from "./support/peers.ts";

const namespace = `${runName()}-full`;
let dir: string;
let disk: SmallDisk;
let registry: TestRegistry;
let daemon: TestDaemon;
let client: Client;
let reference: string;

beforeAll(async () => {
  dir = mkdtempSync(`/tmp/ctrd-${runName()}-full-`);
  // Everything of the daemon is on the small disk, its log and socket too.
  disk = await mountSmallDisk(join(dir, "disk"), 48 << 20);
  registry = await startRegistry();
  daemon = await startCtrd({ dir: join(disk.path, "d") });
  client = await connect(daemon.address, { namespace });
  const files = { count: 200, totalBytes: 8 << 20, seed: 3 };
  reference = await pushImage(registry, "e2e/big", "1", await buildImage({ layers: [{ manyFiles: files }] }));
});
afterAll(async () => {
  client?.close();
  await disk?.free();
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  await disk?.[Symbol.asyncDispose]();
  removeNamespaceDirectories(namespace);
  if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => disk.free());

/** Nothing is corrupt, also after a restart. */
async function expectHealthy(): Promise<void> {
  await client.createLease({ id: "collect" }).then((lease) => lease.delete({ sync: true }));
  await daemon.restart();
  const dist = process.env["CTRD_TEST_FROM"] === "dist";
  const cli = dist
    ? [`${repository}/packages/cli/dist/main.js`]
    : ["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning", `${repository}/packages/cli/src/main.ts`];
  const env = { CTRD_ADDRESS: daemon.address, CTRD_NAMESPACE: namespace };
  const doctor = ["doctor", "--json", "--deep", "--patience", "1"];
  const { code, stdout, stderr } = await run(`${repository}/node_modules/.bin/node`, [...cli, ...doctor], { env });
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "", stderr: "" });
  client.close();
  client = await connect(daemon.address, { namespace });
}

async function failureOf(call: Promise<unknown>): Promise<Error> {
  return call.then(
    () => Promise.reject(new Error("it should have failed: the disk is full")),
    (error: unknown) => error as Error,
  );
}

const clear = /ENOSPC|no space left/i;

ctrdTest("6.1: a pull onto a full disk, at several moments", async () => {
  // In the metadata, in the blob, and in the unpacked files.
  for (const space of [0, 64 << 10, 1 << 20, 10 << 20]) {
    await disk.fill(space);
    const byCtr = await daemon.ctr(["images", "pull", "--plain-http", reference], { namespace });
    expect(byCtr.exitCode, byCtr.stdout).not.toBe(0);
    expect(byCtr.stderr, `with ${space} bytes`).toMatch(clear);
    const byDaemon = await failureOf(client.pullByDaemon(reference, { plainHttp: true, snapshotter: "overlayfs" }));
    expect(byDaemon.message, `with ${space} bytes`).toMatch(clear);
    expect(isKind(byDaemon, "resource-exhausted"), byDaemon.message).toBe(true);
    // Reading goes on.
    expect(await client.isServing()).toBe(true);
    await disk.free();
    for (const lease of await client.listLeases()) await lease.delete({ sync: true });
  }
  await expectHealthy();
  const pulled = await daemon.ctr(["images", "pull", "--plain-http", reference], { namespace });
  expect(pulled, pulled.stderr).toMatchObject({ exitCode: 0 });
  await client.images.delete(client.context(), reference, { sync: true });
  await expectHealthy();
});

ctrdTest("6.1: content and records on a full disk: what was acknowledged stays", async () => {
  const bytes = randomBytesOf("full", 4 << 20);
  const expected = `sha256:${sha256(bytes)}`;
  const write = async (): Promise<void> => {
    const ctx = client.context();
    const writer = await client.content.writer(ctx, { ref: "full", expected });
    for (let at = Number(writer.status().offset); at < bytes.length; at += 1 << 18) {
      await writer.write(bytes.subarray(at, at + (1 << 18)));
    }
    await writer.commit(ctx, { expected, labels: new Map([["containerd.io/gc.root", "kept"]]) });
  };
  await disk.fill(1 << 20);
  const failure = await failureOf(write());
  expect(failure.message).toMatch(clear);
  expect(isKind(failure, "resource-exhausted"), failure.message).toBe(true);
  await expect(client.content.info(client.context(), expected)).rejects.toSatisfy((e) => isKind(e, "not-found"));
  await disk.free();
  await write();
  // Records until the database can take no more.
  await disk.fill();
  const target = { mediaType: "x/y", digest: expected, size: BigInt(bytes.length), annotations: new Map() };
  const made: string[] = [];
  let refusal: unknown;
  for (let index = 0; refusal === undefined && index < 5_000; index++) {
    const name = `example.test/full:${index}`;
    await client.createImage(name, target, { labels: { long: "x".repeat(2_000) } }).then(
      () => made.push(name),
      (error: unknown) => (refusal = error),
    );
  }
  expect(String(refusal)).toMatch(clear);
  expect(isKind(refusal, "resource-exhausted"), String(refusal)).toBe(true);
  const kept = async (): Promise<string[]> => (await client.listImages()).map(({ name }) => name).toSorted();
  expect(await kept()).toEqual(made.toSorted());
  await disk.free();
  await expectHealthy();
  expect(await kept()).toEqual(made.toSorted());
  for (const name of made) await client.images.delete(client.context(), name);
  await client.content.delete(client.context(), expected);
  await expectHealthy();
});

ctrdTest("6.1: containers and their tasks on a full disk", async () => {
  const image = await pushImage(registry, "e2e/busybox", "1", await busyboxImage());
  await client.pullByDaemon(image, { plainHttp: true, snapshotter: "overlayfs" });
  const id = `full-${randomBytes(4).toString("hex")}`;
  const specOptions = [withImageConfig({ args: ["sleep", "1000"] })];
  await disk.fill();
  const refused = await failureOf(client.newContainer(id, { image, snapshotter: "overlayfs", specOptions }));
  expect(isKind(refused, "resource-exhausted"), refused.message).toBe(true);
  expect(refused.message).toMatch(clear);
  await disk.free();
  const container = await client.newContainer(id, { image, snapshotter: "overlayfs", specOptions });
  await disk.fill();
  const noTask = await failureOf(container.newTask({ io: nullIo }));
  expect(isKind(noTask, "resource-exhausted"), noTask.message).toBe(true);
  expect(noTask.message).toMatch(clear);
  expect(list(join(daemon.state, "io.containerd.runtime.v2.task", namespace))).toEqual([]);
  await disk.free();
  const task = await container.newTask({ io: nullIo });
  await task.start();
  // A container that runs does not mind, and can be ended.
  await disk.fill();
  expect((await task.status()).state).toBe("running");
  await task.kill("SIGKILL");
  expect((await task.wait()).exitCode).toBe(137);
  await task.delete();
  expect(leftMounts(daemon.state)).toEqual([]);
  await disk.free();
  await container.delete({ snapshot: true });
  await client.images.delete(client.context(), image, { sync: true });
  await expectHealthy();
});
