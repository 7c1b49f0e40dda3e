/** Bad input: one clear error each, naming the object, and nothing half-made stays. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { buildImage, memoryBlob, mountsBelow, pushImage } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describe as said, run, sha256, type CommandResult } from "./support/command.ts";
import { daemonCommand } from "./support/daemon.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctrdTest, daemonKind } from "./support/peers.ts";
import { list } from "./support/machine-state.ts";
import { tableRows } from "./support/table.ts";

let h: Harness;
beforeAll(async () => (h = await openHarness("bad")));
afterAll(() => h?.close());

const ctr = (...args: string[]): Promise<string> => h.daemon.ctr(args);
const fails = (...args: string[]): Promise<string> => h.daemon.ctrFails(args);

/** Starts a second daemon that must give up by itself, and returns what it said. */
async function startFails(config: string): Promise<CommandResult> {
  const [file, args] = daemonCommand(daemonKind, config);
  const result = await run(file, args, { timeoutMs: 8000 });
  if (result.code === 0 || result.code === null) throw new Error(`should have failed by itself: ${said(result)}`);
  return result;
}

function writeConfig(
  name: string,
  change: { root?: string; state?: string; address?: string; extra?: string } = {},
): string {
  const dir = h.path(name);
  mkdirSync(dir, { recursive: true });
  const text = `version = 2
root = "${change.root ?? join(dir, "root")}"
state = "${change.state ?? join(dir, "state")}"
${daemonKind === "containerd" ? 'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]' : ""}
${change.extra ?? ""}
[grpc]
address = "${change.address ?? join(dir, "d.sock")}"
`;
  writeFileSync(join(dir, "config.toml"), text);
  return join(dir, "config.toml");
}

/** A failed run leaves neither task nor mount nor bundle; ctr itself removes the container and its snapshot. */
async function expectNothingOf(id: string): Promise<void> {
  expect(await ctr("tasks", "ls", "-q")).not.toContain(id);
  expect(await mountsBelow(join(h.daemon.state, "io.containerd.runtime.v2.task"))).toEqual([]);
  const bundles = list(join(h.daemon.state, "io.containerd.runtime.v2.task", h.daemon.namespace));
  expect(bundles.filter((path) => path.includes(id))).toEqual([]);
  await h.daemon.tryCtr(["containers", "rm", id]);
  expect(await ctr("containers", "ls", "-q")).not.toContain(id);
  expect(tableRows(await ctr("snapshots", "ls")).map((row) => row["KEY"])).not.toContain(id);
}

test("bad input: a missing shim names the runtime and its binary", async () => {
  const id = h.daemon.id("noshim");
  const text = await fails("run", "--rm", "--runtime", "io.containerd.nothere.v9", h.image, id, "true");
  expect(text).toContain("containerd-shim-nothere-v9");
  expect(text).toContain("io.containerd.nothere.v9");
  await expectNothingOf(id);
});

test("bad input: a missing runc names its path", async () => {
  const id = h.daemon.id("norunc");
  expect(await fails("run", "--rm", "--runc-binary", "/no/such/runc", h.image, id, "true")).toContain("/no/such/runc");
  await expectNothingOf(id);
});

test("bad input: a program that is not in the image", async () => {
  const id = h.daemon.id("noprog");
  expect(await fails("run", "--rm", h.image, id, "/no/such/program")).toContain("/no/such/program");
  await expectNothingOf(id);
});

test("bad input: a mount source that does not exist", async () => {
  const id = h.daemon.id("nomount");
  const mount = "type=bind,src=/no/such/dir,dst=/x,options=rbind:ro";
  expect(await fails("run", "--rm", "--mount", mount, h.image, id, "true")).toContain("/no/such/dir");
  await expectNothingOf(id);
});

test("bad input: an image, a container, a task, a snapshot, a digest that does not exist", async () => {
  const absent = `sha256:${"0".repeat(64)}`;
  expect(await fails("run", "--rm", "no/such:image", h.daemon.id("x"), "true")).toContain(
    `image "no/such:image": not found`,
  );
  expect(await fails("containers", "info", "nobody")).toContain(
    `container "nobody" in namespace "${h.daemon.namespace}": not found`,
  );
  expect(await fails("tasks", "kill", "nobody")).toContain("nobody");
  expect(await fails("snapshots", "info", "nothing")).toMatch(/nothing.*not found/);
  expect(await fails("content", "get", absent)).toMatch(new RegExp(`${absent}.*: not found`));
  expect(await fails("images", "pull", "--plain-http", `${h.registry.host}/no/such:tag`)).toContain("not found");
});

test("bad input: a digest that does not fit the data is refused, and nothing is stored", async () => {
  const wrong = `sha256:${"1".repeat(64)}`;
  const ingest = ["content", "ingest", "--expected-size", "5", "--expected-digest", wrong, "bad-digest"];
  expect(await h.daemon.ctrFails(ingest, { input: "hello" })).toMatch(
    /unexpected (commit )?digest.*failed precondition/,
  );
  expect(await ctr("content", "ls", "-q")).not.toContain(sha256("hello"));
  const size = [
    "content",
    "ingest",
    "--expected-size",
    "7",
    "--expected-digest",
    `sha256:${sha256("hello")}`,
    "bad-size",
  ];
  expect(await h.daemon.ctrFails(size, { input: "hello" })).toMatch(/bad-size|size|EOF/);
  expect(await ctr("content", "ls", "-q")).not.toContain(sha256("hello"));
  expect(await fails("content", "get", "no-digest")).toMatch(/invalid checksum digest format|invalid argument/);
});

test("bad input: objects of another namespace are not found", async () => {
  const other = h.daemon.otherNamespace("wrong");
  const elsewhere = async (...args: string[]): Promise<string> => {
    const result = await run("ctr", [...h.daemon.flags(other), ...args]);
    if (result.code === 0) throw new Error(`should have failed: ${said(result)}`);
    return result.stderr;
  };
  expect(await elsewhere("run", "--rm", h.image, h.daemon.id("wrong"), "true")).toContain(
    `image "${h.image}": not found`,
  );
  expect(await elsewhere("content", "get", h.busybox.root.descriptor.digest)).toContain("not found");
  expect(await elsewhere("snapshots", "info", h.busybox.layers[0]?.diffId ?? "")).toContain("not found");
  const malformed = await run("ctr", [...h.daemon.flags("no/good"), "images", "ls"]);
  expect(malformed).toMatchObject({ code: 1, stderr: expect.stringMatching(/no\/good.*invalid argument/) as string });
});

test("bad input: a truncated layer fails to unpack, and leaves no snapshot", async () => {
  const whole = await buildImage({ layers: [{ entries: [{ path: "f", data: "x".repeat(200_000) }] }] });
  const layer = whole.layers[0];
  if (layer === undefined) throw new Error("no layer");
  const cut = memoryBlob(layer.descriptor.mediaType, (await layer.bytes()).subarray(0, -20));
  const manifest = JSON.parse((await whole.root.bytes()).toString()) as { layers: unknown[] };
  const root = memoryBlob(whole.root.descriptor.mediaType, JSON.stringify({ ...manifest, layers: [cut.descriptor] }));
  const ref = await pushImage(h.registry, "e2e/truncated", "1", { root, blobs: [cut, whole.config] });
  const before = tableRows(await ctr("snapshots", "ls"));
  expect(await fails("images", "pull", "--plain-http", ref)).toMatch(
    /failed to extract layer.*unexpected (EOF|end of file)/s,
  );
  await ctr("images", "rm", "--sync", ref);
  expect(tableRows(await ctr("snapshots", "ls"))).toEqual(before);
  expect(await mountsBelow(h.daemon.dir)).toEqual([]);
  expect(readdirSync(h.daemon.tmp)).toEqual([]);
});

test("bad input: a layer that is not what its diff id says", async () => {
  const image = await buildImage({ layers: [{ entries: [{ path: "f", data: "one" }] }] });
  const liar = await buildImage({ layers: [{ entries: [{ path: "f", data: "two" }] }] });
  const manifest = JSON.parse((await image.root.bytes()).toString()) as object;
  const root = memoryBlob(
    image.root.descriptor.mediaType,
    JSON.stringify({ ...manifest, config: liar.config.descriptor }),
  );
  const ref = await pushImage(h.registry, "e2e/liar", "1", { root, blobs: [...image.layers, liar.config] });
  expect(await fails("images", "pull", "--plain-http", ref)).toContain("wrong diff id");
  await ctr("images", "rm", "--sync", ref);
});

// containerd 1.6 takes the socket away from whoever listens on it.
ctrdTest(
  "bad input: a socket that another program listens on",
  async () => {
    const address = h.path("used.sock");
    const server = createServer().listen(address);
    try {
      const result = await startFails(writeConfig("socket", { address }));
      expect(said(result)).toContain(address);
      expect(said(result)).toMatch(/in use|already listening|listens/);
      expect(existsSync(address), "the other program's socket is still there").toBe(true);
    } finally {
      await new Promise((resolve) => server.close(resolve));
      rmSync(address, { force: true });
    }
  },
  30_000,
);

test("bad input: a root that is a file", async () => {
  const root = h.path("file-as-root");
  writeFileSync(root, "");
  expect(said(await startFails(writeConfig("unwritable", { root })))).toContain(root);
});

ctrdTest("bad input: a root that cannot be written", async () => {
  const root = "/proc/ctrd-root";
  const result = await startFails(writeConfig("readonly", { root }));
  expect(said(result)).toContain(root);
});

test("bad input: a corrupt config names the file and the line", async () => {
  const config = writeConfig("corrupt", { extra: "root = [" });
  const text = said(await startFails(config));
  expect(text).toMatch(/toml|line|config/);
  if (daemonKind === "ctrd") expect(text).toContain(config);
});

ctrdTest("bad input: an unknown key and a mistyped value name file, key and line", async () => {
  const unknown = said(await startFails(writeConfig("unknown-key", { extra: "oom_scroe = 1" })));
  expect(unknown).toMatch(/oom_scroe/);
  expect(unknown).toMatch(/oom_score/);
  const mistyped = said(await startFails(writeConfig("mistyped", { extra: 'oom_score = "high"' })));
  expect(mistyped).toMatch(/config\.toml.*oom_score/s);
});

// containerd 1.6 waits for the lock of its database for ever.
ctrdTest("bad input: a second daemon on the same root gives up and leaves the first alone", async () => {
  const config = writeConfig("second", { root: h.daemon.root, state: h.path("second/state") });
  const text = said(await startFails(config));
  expect(text).toContain(h.daemon.root);
  expect(text).toMatch(/in use|already|another/);
  expect(await ctr("run", "--rm", h.image, h.daemon.id("first"), "echo", "unharmed")).toBe("unharmed\n");
});

test("bad input: a disabled plugin that is required, a required plugin that does not exist", async () => {
  const config = writeConfig("required", { extra: 'required_plugins = ["io.containerd.snapshotter.v1.nothing"]' });
  expect(said(await startFails(config))).toContain("io.containerd.snapshotter.v1.nothing");
});

test("bad input: a daemon that was refused everything left no socket and no state behind", async () => {
  const sockets = readdirSync(h.daemon.dir, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".sock"),
  );
  // Those of the daemon that runs.
  expect(sockets.sort()).toEqual(["d.sock", "state/debug.sock", "state/nri.sock"]);
});
