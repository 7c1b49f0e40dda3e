// Proxy plugins over real sockets to real processes, which come, are killed, and come back.
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createContext } from "@ctrd/core/context";
import { silentLogger } from "@ctrd/core/log";
import type { LogFields, Logger } from "@ctrd/core/log";
import { initPlugins, pluginRef } from "@ctrd/core/plugin";
import type { PluginMeta, PluginSet } from "@ctrd/core/plugin";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ProxySettings } from "./index.ts";
import { checkProxySettings, proxyRegistration, proxyRegistrations } from "./index.ts";

const script = fileURLToPath(new URL("../test/serve-snapshotter.ts", import.meta.url));
const ctx = createContext({ namespace: "ns", lease: "a-lease" });

let directory: TempDir;
let path: string;
let log: string[];
const processes: ChildProcess[] = [];
const sets: PluginSet[] = [];

beforeEach(async () => {
  directory = await tempDir();
  path = join(directory.path, "s.sock");
  log = [];
});
afterEach(async () => {
  for (const set of sets.splice(0)) await set.close();
  for (const child of processes.splice(0)) await kill(child);
  await directory[Symbol.asyncDispose]();
});

const settings = (more: Partial<ProxySettings> = {}): ProxySettings => ({
  type: "snapshot",
  address: path,
  platform: "",
  exports: {},
  capabilities: [],
  ...more,
});

async function startPeer(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["--conditions=ctrd-source", script, path], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  processes.push(child);
  await once(child, "message");
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

const logger: Logger = {
  ...silentLogger,
  info: (_fields: LogFields, message: string) => void log.push(message),
  warn: (_fields: LogFields, message: string) => void log.push(message),
  child: () => logger,
};

async function open(more: Partial<ProxySettings> = {}): Promise<{ snapshotter: Snapshotter; meta: PluginMeta }> {
  const set = await initPlugins({
    plugins: [{ registration: proxyRegistration("mine", settings(more)) }],
    root: directory.path,
    state: directory.path,
    daemon: {
      version: "1",
      revision: "",
      address: "",
      ttrpcAddress: "",
      binary: "",
      debug: false,
      timeouts: new Map(),
    },
    log: logger,
    signal: new AbortController().signal,
  });
  sets.push(set);
  const snapshotter = set.find(pluginRef<Snapshotter>(SnapshotPlugin, "mine"));
  const [status] = set.statuses;
  if (snapshotter === undefined || status === undefined) throw new Error(`no plugin: ${status?.error}`);
  return { snapshotter, meta: status.meta };
}

/** The rejection of a call, and how long it took in milliseconds. */
async function failure(call: Promise<unknown>): Promise<{ error: unknown; ms: number }> {
  const began = performance.now();
  const error = await call.then(
    () => new Error("the call succeeded"),
    (reason: unknown) => reason,
  );
  return { error, ms: performance.now() - began };
}

const unreachable = (why: string): object => ({
  kind: "unavailable",
  message: expect.stringMatching(
    new RegExp(
      `^proxy plugin io\\.containerd\\.snapshotter\\.v1\\.mine at ${path}: unreachable since \\S+Z, ${why}; ` +
        `start the process that serves it, or correct the address in \\[proxy_plugins\\.mine\\]: unavailable$`,
    ),
  ) as string,
});

describe("a peer that is there", () => {
  it("gets the call with namespace and lease, and the plugin tells of itself", async () => {
    await startPeer();
    const { snapshotter, meta } = await open({
      address: `unix://${path}`,
      platform: "linux/arm64",
      exports: { root: "/r", address: "ours wins" },
      capabilities: ["rebase"],
    });
    expect(await snapshotter.prepare(ctx, "k", "p")).toEqual([
      { type: "seen", source: "ns", target: "a-lease", options: ["k", "p"] },
    ]);
    expect(Object.fromEntries(meta.exports)).toEqual({ root: "/r", address: `unix://${path}`, state: "connected" });
    expect(meta.platforms).toEqual([{ os: "linux", architecture: "arm64", variant: "", osVersion: "" }]);
    expect(meta.capabilities).toEqual(["rebase"]);
    expect(log).toEqual(["proxy plugin connected"]);
  });

  it("answers with its own errors, unavailable too", async () => {
    await startPeer();
    const { snapshotter } = await open();
    await expect(snapshotter.prepare(ctx, "busy", "")).rejects.toMatchObject({
      kind: "unavailable",
      message: 'snapshot "busy" is locked: unavailable',
    });
  });

  it("does not get a call that the caller has cancelled", async () => {
    await startPeer();
    const { snapshotter } = await open();
    const abort = new AbortController();
    const call = failure(snapshotter.prepare({ ...ctx, signal: abort.signal }, "slow", ""));
    abort.abort(new Error("enough"));
    expect((await call).error).toMatchObject({ kind: "canceled" });
  });
});

describe("a peer that is away", () => {
  it("holds the start up by a second at most, and calls fail at once", async () => {
    const began = performance.now();
    const { snapshotter, meta } = await open();
    expect(performance.now() - began).toBeLessThan(1_200);
    const { error, ms } = await failure(snapshotter.prepare(ctx, "k", ""));
    expect(error).toMatchObject(unreachable("there is no such socket"));
    expect(ms).toBeLessThan(100);
    expect(meta.exports.get("state")).toMatch(/^unreachable since \S+Z: there is no such socket$/);
    await expect(Array.fromAsync(snapshotter.walk(ctx, []))).rejects.toMatchObject(
      unreachable("there is no such socket"),
    );
    expect(log).toEqual(["proxy plugin unreachable"]);
  });

  it.each([
    ["what is there is not a socket", () => writeFileSync(path, "")],
    ["nothing that speaks gRPC listens on the socket", () => undefined],
  ])("says that %s", async (why, prepare) => {
    const closing = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    prepare();
    if (why.startsWith("nothing")) closing.listen(path);
    try {
      const { snapshotter } = await open();
      expect((await failure(snapshotter.prepare(ctx, "k", ""))).error).toMatchObject(unreachable(why));
    } finally {
      closing.close();
    }
  });

  it("is found when it comes", async () => {
    const { snapshotter, meta } = await open();
    await startPeer();
    await vi.waitFor(() => expect(meta.exports.get("state")).toBe("connected"), 5_000);
    expect(await snapshotter.prepare(ctx, "k", "")).toHaveLength(1);
    expect(log).toEqual(["proxy plugin unreachable", "proxy plugin connected"]);
  });

  it("that accepts but never speaks is away too", async () => {
    const silent = createServer();
    silent.listen(path);
    try {
      const began = performance.now();
      const { snapshotter } = await open();
      expect(performance.now() - began).toBeLessThan(1_200);
      const { error, ms } = await failure(snapshotter.prepare(ctx, "k", ""));
      expect(error).toMatchObject({ kind: "unavailable" });
      expect(ms).toBeLessThan(1_000);
    } finally {
      silent.close();
      await Promise.all(sets.splice(0).map((set) => set.close()));
    }
  });
});

describe("a peer that is killed", () => {
  it("fails the calls in flight at once, whatever their kind, and later ones until it is back", async () => {
    const peer = await startPeer();
    const { snapshotter, meta } = await open();
    const calls = Array.from({ length: 50 }, () => failure(snapshotter.prepare(ctx, "slow", "")));
    const walk = snapshotter.walk(ctx, [])[Symbol.asyncIterator]();
    const rest = failure(walk.next());
    await snapshotter.prepare(ctx, "all are on their way", "");
    const began = performance.now();
    await kill(peer);
    for (const { error } of await Promise.all([...calls, rest])) {
      expect(error).toMatchObject({
        kind: "unavailable",
        message: expect.stringMatching(/^proxy plugin io\.containerd\.snapshotter\.v1\.mine at .*; start the process/),
      });
    }
    expect(performance.now() - began).toBeLessThan(1_000);
    const { error, ms } = await failure(snapshotter.prepare(ctx, "k", ""));
    expect(error).toMatchObject(unreachable("nothing that speaks gRPC listens on the socket"));
    expect(ms).toBeLessThan(1_000);
    expect(meta.exports.get("state")).toMatch(/^unreachable since /);

    await startPeer();
    await vi.waitFor(() => snapshotter.prepare(ctx, "k", ""), 5_000);
    expect(meta.exports.get("state")).toBe("connected");
    expect(log).toEqual(["proxy plugin connected", "proxy plugin unreachable", "proxy plugin connected"]);
  });
});

describe("settings", () => {
  const known =
    "snapshot, content, diff, sandbox, io.containerd.snapshotter.v1, io.containerd.content.v1, " +
    "io.containerd.differ.v1, io.containerd.sandbox.controller.v1";

  it.each([
    ["bad id", {}, undefined, '"bad id" must be a name (letters, digits, ".", "_", "-")'],
    ["x", { type: "snapshots" }, "type", `unknown type "snapshots", known are: ${known}`],
    ["x", { type: "" }, "type", `type must be set, known are: ${known}`],
    ["x", { address: "" }, "address", "address must be set: the path of the unix socket"],
    ["x", { address: "unix://run/x.sock" }, "address", "must be the absolute path of a unix socket"],
    ["x", { address: "tcp://127.0.0.1:1" }, "address", "must be the absolute path of a unix socket"],
    ["x", { address: `/${"x".repeat(120)}` }, "address", "at most 104 are allowed"],
    ["x", { platform: "a/b/c/d" }, "platform", 'platform "a/b/c/d" must be <os>/<architecture>'],
  ] as const)("of %j: %j is refused", (id, more, key, message) => {
    const problem = checkProxySettings(id, settings(more));
    expect(problem?.key).toBe(key);
    expect(problem?.message).toContain(message);
    expect(() => proxyRegistration(id, settings(more))).toThrow(message);
  });

  it("of a whole table become plugins of every type, by either name", () => {
    const types = ["snapshot", "content", "diff", "sandbox", "io.containerd.differ.v1"];
    const table = Object.fromEntries(types.map((type, index) => [`p${index}`, settings({ type })]));
    expect(proxyRegistrations(table).map(({ type, id }) => `${type.name} ${id}`)).toEqual([
      "io.containerd.snapshotter.v1 p0",
      "io.containerd.content.v1 p1",
      "io.containerd.differ.v1 p2",
      "io.containerd.sandbox.controller.v1 p3",
      "io.containerd.differ.v1 p4",
    ]);
  });
});
