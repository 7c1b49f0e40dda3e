// Every component over a real socket: what the proxy is given reaches the implementation, and the answer comes back.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Container } from "@ctrd/core/containers";
import { createContext } from "@ctrd/core/context";
import type { Image } from "@ctrd/core/images";
import type { Sandbox } from "@ctrd/core/sandboxes";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { SnapshotKind } from "@ctrd/core/snapshots";
import type { TaskService } from "@ctrd/core/tasks";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BoundService, RpcChannel, ServedSocket } from "./index.ts";
import {
  openChannel,
  proxyContainers,
  proxyDiffer,
  proxyEvents,
  proxyImages,
  proxyIntrospection,
  proxyLeases,
  proxyNamespaces,
  proxySandboxes,
  proxySnapshotter,
  proxyTasks,
  serveContainers,
  serveDiff,
  serveEvents,
  serveImages,
  serveIntrospection,
  serveLeases,
  serveNamespaces,
  serveOnSocket,
  serveSandboxes,
  serveSnapshots,
  serveTasks,
  snapshotterLookup,
} from "./index.ts";

const ctx = createContext({ namespace: "ns", lease: "l" });
const time = { seconds: 1_700_000_000n, nanos: 5 };
const labels = new Map([
  ["a", "b"],
  ["__proto__", "c"],
]);
const any = { typeUrl: "example.Type", value: Buffer.from([1, 2, 3]) };
const descriptor = { mediaType: "m", digest: "sha256:1", size: 1n << 60n, annotations: labels };
const mount = { type: "bind", source: "/a", target: "", options: ["ro", "rbind"] };

let directory: string;
let server: ServedSocket | undefined;
let channel: RpcChannel;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-components-"));
  channel = openChannel(join(directory, "s.sock"));
});
afterEach(async () => {
  channel.close();
  await server?.stop();
  await rm(directory, { recursive: true });
});

/** Calls that reached an implementation: method and arguments after the context. */
type Calls = [string, ...unknown[]][];

/** An implementation whose methods note their calls and answer from `answers`. */
function recorder<T extends object>(answers: Record<string, unknown>): { component: T; calls: Calls } {
  const calls: Calls = [];
  const component = new Proxy({} as T, {
    get:
      (_target, method: string) =>
      (callCtx: { namespace: string; lease?: string }, ...args: unknown[]) => {
        expect(callCtx).toMatchObject({ namespace: "ns", lease: "l" });
        calls.push([method, ...args]);
        return answers[method];
      },
  });
  return { component, calls };
}

async function serve(service: BoundService): Promise<void> {
  server = await serveOnSocket(join(directory, "s.sock"), [service]);
}

/** Buffers and Uint8Arrays of the same bytes are the same. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, plain(item)]));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

const same = (actual: unknown, expected: unknown): void => expect(plain(actual)).toEqual(plain(expected));

describe("components", () => {
  it("containers", async () => {
    const container: Container = {
      id: "c",
      labels,
      image: "i",
      runtime: { name: "r", options: any },
      spec: any,
      snapshotter: "s",
      snapshotKey: "k",
      createdAt: time,
      updatedAt: time,
      extensions: new Map([["x", any]]),
      sandbox: "sb",
    };
    const answers = { get: container, list: [container, container], create: container, update: container };
    const { component, calls } = recorder<Parameters<typeof serveContainers>[0]>(answers);
    await serve(serveContainers(component));
    const proxy = proxyContainers(channel);
    same(await proxy.get(ctx, "c"), container);
    same(await proxy.list(ctx, ["f"]), [container, container]);
    same(await proxy.create(ctx, container), container);
    same(await proxy.update(ctx, container, ["labels.a"]), container);
    await proxy.delete(ctx, "c");
    same(calls, [
      ["get", "c"],
      ["list", ["f"]],
      ["create", container],
      ["update", container, ["labels.a"]],
      ["delete", "c"],
    ]);
  });

  it("images", async () => {
    const image: Image = { name: "n", labels, target: descriptor, createdAt: time, updatedAt: time };
    const { component, calls } = recorder<Parameters<typeof serveImages>[0]>({
      get: image,
      list: [image],
      create: image,
      update: image,
    });
    await serve(serveImages(component));
    const proxy = proxyImages(channel);
    same(await proxy.get(ctx, "n"), image);
    same(await proxy.list(ctx, []), [image]);
    same(await proxy.create(ctx, image, time), image);
    same(await proxy.update(ctx, image, ["target"]), image);
    await proxy.delete(ctx, "n", { sync: true, target: descriptor });
    await proxy.delete(ctx, "n");
    same(calls.slice(2), [
      ["create", image, time],
      ["update", image, ["target"], undefined],
      ["delete", "n", { sync: true, target: descriptor }],
      ["delete", "n", { sync: false }],
    ]);
  });

  it("leases", async () => {
    const lease = { id: "x", createdAt: time, labels };
    const resource = { id: "d", type: "content" };
    const answers = { create: lease, list: [lease], listResources: [resource] };
    const { component, calls } = recorder<Parameters<typeof serveLeases>[0]>(answers);
    await serve(serveLeases(component));
    const proxy = proxyLeases(channel);
    same(await proxy.create(ctx, { id: "x", labels }), lease);
    same(await proxy.list(ctx, ["id==x"]), [lease]);
    await proxy.addResource(ctx, "x", resource);
    await proxy.deleteResource(ctx, "x", resource);
    same(await proxy.listResources(ctx, "x"), [resource]);
    await proxy.delete(ctx, "x", { sync: true });
    expect(calls.map(([method]) => method)).toEqual([
      "create",
      "list",
      "addResource",
      "deleteResource",
      "listResources",
      "delete",
    ]);
    same(calls[5], ["delete", "x", { sync: true }]);
  });

  it("namespaces", async () => {
    const namespace = { name: "n", labels };
    const answers = { get: namespace, list: [namespace], create: namespace, update: namespace };
    const { component, calls } = recorder<Parameters<typeof serveNamespaces>[0]>(answers);
    await serve(serveNamespaces(component));
    const proxy = proxyNamespaces(channel);
    same(await proxy.get(ctx, "n"), namespace);
    same(await proxy.list(ctx), [namespace]);
    same(await proxy.create(ctx, namespace), namespace);
    same(await proxy.update(ctx, namespace, []), namespace);
    await proxy.delete(ctx, "n");
    same(calls[3], ["update", namespace, []]);
  });

  it("sandboxes", async () => {
    const sandbox: Sandbox = {
      sandboxId: "s",
      runtime: { name: "r", options: any },
      spec: any,
      labels,
      createdAt: time,
      updatedAt: time,
      extensions: new Map([["x", any]]),
      sandboxer: "shim",
    };
    const answers = { get: sandbox, list: [sandbox], create: sandbox, update: sandbox };
    const { component, calls } = recorder<Parameters<typeof serveSandboxes>[0]>(answers);
    await serve(serveSandboxes(component));
    const proxy = proxySandboxes(channel);
    same(await proxy.create(ctx, sandbox), sandbox);
    same(await proxy.update(ctx, sandbox, ["spec"]), sandbox);
    same(await proxy.get(ctx, "s"), sandbox);
    same(await proxy.list(ctx, []), [sandbox]);
    await proxy.delete(ctx, "s");
    same(calls[1], ["update", sandbox, ["spec"]]);
  });

  it("snapshots", async () => {
    const info = { name: "k", parent: "p", kind: SnapshotKind.Active, createdAt: time, updatedAt: time, labels };
    const answers = {
      stat: info,
      update: info,
      usage: { size: 5n, inodes: 6n },
      mounts: [mount],
      prepare: [mount],
      view: [mount],
      walk: Array.from({ length: 250 }, () => info),
    };
    const { component, calls } = recorder<Snapshotter>(answers);
    await serve(serveSnapshots(snapshotterLookup(new Map([["over", component]]))));
    const proxy = proxySnapshotter(channel, "over");
    same(await proxy.stat(ctx, "k"), info);
    same(await proxy.usage(ctx, "k"), answers.usage);
    same(await proxy.prepare(ctx, "k", "p", { labels }), [mount]);
    same(await proxy.view(ctx, "k", ""), [mount]);
    await proxy.commit(ctx, "name", "k", { parent: "q" });
    await proxy.cleanup?.(ctx);
    expect(await Array.fromAsync(proxy.walk(ctx, ["kind==active"]))).toHaveLength(250);
    same(calls[4], ["commit", "name", "k", { labels: new Map(), parent: "q" }]);
    await expect(proxySnapshotter(channel, "").stat(ctx, "k")).rejects.toThrow("snapshotter argument missing");
    const unknown = proxySnapshotter(channel, "other").prepare(ctx, "k", "");
    await expect(unknown).rejects.toMatchObject({
      kind: "invalid-argument",
      message: "snapshotter not loaded: other: invalid argument",
    });
  });

  it("diff", async () => {
    const { component, calls } = recorder<Parameters<typeof serveDiff>[0]>({ apply: descriptor, compare: descriptor });
    await serve(serveDiff(component));
    const proxy = proxyDiffer(channel);
    same(await proxy.apply(ctx, descriptor, [mount], { payloads: new Map([["m", any]]), syncFs: true }), descriptor);
    same(
      await proxy.compare(ctx, [mount], [], { mediaType: "m", reference: "r", labels, sourceDateEpoch: time }),
      descriptor,
    );
    same(calls, [
      ["apply", descriptor, [mount], { payloads: new Map([["m", any]]), syncFs: true }],
      ["compare", [mount], [], { labels, mediaType: "m", reference: "r", sourceDateEpoch: time }],
    ]);
  });

  it("tasks: every method", async () => {
    const process = {
      containerId: "c",
      id: "e",
      pid: 7,
      status: 2 as const,
      stdin: "i",
      stdout: "o",
      stderr: "",
      terminal: true,
      exitStatus: 255,
      exitedAt: time,
    };
    const deleted = { id: "c", pid: 7, exitStatus: 1, exitedAt: time };
    const answers: Record<string, unknown> = {
      create: { containerId: "c", pid: 7 },
      start: { pid: 7 },
      delete: deleted,
      deleteProcess: deleted,
      get: { process },
      list: { tasks: [process] },
      listPids: { processes: [{ pid: 7, info: any }] },
      checkpoint: { descriptors: [descriptor] },
      metrics: { metrics: [{ timestamp: time, id: "c", data: any }] },
      wait: { exitStatus: 3, exitedAt: time },
    };
    const ref = { containerId: "c", execId: "e" };
    const stdio = { stdin: "i", stdout: "o", stderr: "", terminal: true };
    const requests: Record<keyof TaskService, object> = {
      create: {
        containerId: "c",
        rootfs: [mount],
        ...stdio,
        checkpoint: descriptor,
        options: any,
        runtimePath: "p",
        taskApiAddress: "a",
        taskApiVersion: 3,
      },
      start: ref,
      delete: { containerId: "c" },
      deleteProcess: ref,
      get: ref,
      list: { filter: "" },
      kill: { ...ref, signal: 9, all: true },
      exec: { ...ref, ...stdio, spec: any },
      resizePty: { ...ref, width: 80, height: 24 },
      closeIo: { ...ref, stdin: true },
      pause: { containerId: "c" },
      resume: { containerId: "c" },
      listPids: { containerId: "c" },
      checkpoint: { containerId: "c", parentCheckpoint: "", options: any },
      update: { containerId: "c", resources: any, annotations: labels },
      metrics: { filters: ["id==c"] },
      wait: ref,
    };
    const { component, calls } = recorder<TaskService>(answers);
    await serve(
      serveTasks(
        new Proxy(component, {
          get:
            (target, key, self) =>
            async (...args: unknown[]) =>
              Reflect.get(target, key, self)(...args),
        }),
      ),
    );
    const proxy = proxyTasks(channel) as unknown as Record<
      string,
      (c: typeof ctx, request: object) => Promise<unknown>
    >;
    for (const [method, request] of Object.entries(requests)) {
      same(await proxy[method]?.(ctx, request), answers[method]);
      same(calls.at(-1), [method, request]);
    }
  });

  it("events", async () => {
    const envelope = { timestamp: time, namespace: "ns", topic: "/a", event: any };
    const { component, calls } = recorder<Parameters<typeof serveEvents>[0]>({
      subscribe: (async function* () {
        yield envelope;
      })(),
    });
    await serve(serveEvents(component));
    const proxy = proxyEvents(channel);
    await proxy.publish(ctx, "/a", any);
    await proxy.forward(ctx, envelope);
    same(await Array.fromAsync(proxy.subscribe(ctx, ["topic==/a"])), [envelope]);
    same(calls, [
      ["publish", "/a", any],
      ["forward", envelope],
      ["subscribe", ["topic==/a"]],
    ]);
  });

  it("introspection shows what became of plugins", async () => {
    const meta = { exports: new Map([["root", "/r"]]), platforms: [], capabilities: ["c"] };
    const status = { type: "t", id: "i", requires: ["u"], meta };
    const plugins = [
      { ...status, state: "ok" },
      { ...status, state: "skipped", error: "no overlay", remedy: "load it" },
      { ...status, state: "failed", error: "boom" },
      { ...status, state: "disabled" },
    ];
    const info = { uuid: "u", pid: 1n, pidns: 1n << 40n, deprecations: [] };
    const answers = { plugins, server: info, pluginInfo: { plugin: plugins[0], extra: any } };
    const { component } = recorder<Parameters<typeof serveIntrospection>[0]>(answers);
    await serve(
      serveIntrospection(
        new Proxy(component, {
          get:
            (target, key, self) =>
            async (...args: unknown[]) =>
              Reflect.get(target, key, self)(...args),
        }),
      ),
    );
    const proxy = proxyIntrospection(channel);
    expect(await proxy.plugins(ctx, [])).toMatchObject([
      { ...status, state: "ok" },
      { state: "skipped", error: "no overlay (load it)" },
      { state: "failed", error: "boom" },
      { state: "skipped", error: "disabled by the configuration" },
    ]);
    same(await proxy.server(ctx), info);
    same((await proxy.pluginInfo(ctx, "t", "i", any)).extra, any);
  });
});
