/** Shows 1 and 2 of issue 4: a client with one service replaced, against ctrd and against the real containerd. */
import { mkdirSync } from "node:fs";
import { text } from "node:stream/consumers";
import { connect, fromDaemon, ignoreLeases, nullIo } from "@ctrd/client";
import type { Client, ClientServices, ContainerProcess, ServiceOverrides } from "@ctrd/client";
import { openContentStore } from "@ctrd/content-local";
import type { MetadataStore } from "@ctrd/core/metadata";
import { protoAny } from "@ctrd/core/typeurl";
import { openWalkingDiffer } from "@ctrd/diff-walking";
import { createEventExchange } from "@ctrd/events-exchange";
import { openMetadataStore } from "@ctrd/metadata-lmdb";
import { withImageConfig } from "@ctrd/oci";
import { createRegistryResolver, registryHosts } from "@ctrd/registry";
import { builtins, startDaemon } from "@ctrd/server";
import { openNativeSnapshotter } from "@ctrd/snapshot-native";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openHarness, type Harness } from "./support/harness.ts";

const resolver = createRegistryResolver({ hosts: registryHosts({ defaultScheme: "http" }) });

function outputOf({ stdout }: ContainerProcess): Promise<string> {
  if (stdout === undefined) throw new Error("there is no stdout");
  return text(stdout);
}

/** Pulls the image and runs a container of it with a task whose output and exit code are looked at. */
async function pullAndRun(client: Client, image: string, id: string): Promise<void> {
  const pulled = await client.pull(image);
  await using container = await client.newContainer(id, {
    image: pulled,
    specOptions: [withImageConfig({ args: ["sh", "-c", "echo it runs; exit 3"] })],
  });
  await using task = await container.newTask();
  await task.start();
  const [output, { exitCode }] = await Promise.all([outputOf(task), task.wait()]);
  expect([output, exitCode]).toEqual(["it runs\n", 3]);
}

function configOf(path: string): Record<string, unknown> {
  return {
    root: `${path}/root`,
    state: `${path}/state`,
    plugins: { "io.containerd.server.v1.grpc": { address: `${path}/d.sock` } },
  };
}

/** The same service, and the names of its methods that were called. */
function recorded<T extends object>(service: T): { service: T; calls: Set<string> } {
  const calls = new Set<string>();
  const handler: ProxyHandler<T> = {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        calls.add(String(name));
        return Reflect.apply(value, target, args);
      };
    },
  };
  return { service: new Proxy(service, handler), calls };
}

/** What each service is asked for when an image is pulled and run. */
const needed: Partial<Record<keyof ClientServices, readonly string[]>> = {
  containerService: ["create", "get", "delete"],
  contentStore: ["writer", "reader", "info", "update"],
  diffService: ["apply"],
  imageService: ["create"],
  leasesService: ["create", "delete"],
  namespaceService: ["get"],
  taskService: ["create", "start", "wait", "delete"],
};

describe.each(["ctrd", "containerd"] as const)("client of %s", (kind) => {
  let h: Harness;
  let plain: Client;
  let directories = 0;

  beforeAll(async () => {
    h = await openHarness(`client-${kind}`, { kind, pull: false });
    plain = await open();
  });
  afterAll(async () => {
    plain?.close();
    await h?.close();
  });

  const open = (overrides: ServiceOverrides = {}, namespace = h.daemon.namespace): Promise<Client> =>
    connect(h.daemon.address, { namespace, resolver, fifoDirectory: h.path("fifo"), ...overrides });
  const directory = (): string => {
    const path = h.path(`own-${directories++}`);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const blobs = async (client: Client): Promise<number> =>
    (await Array.fromAsync(client.content.list(client.context(), []))).length;

  /** A metadata store of this process, with content that nobody uses. */
  async function ownMetadata(stack: AsyncDisposableStack): Promise<MetadataStore> {
    const path = directory();
    const content = await openContentStore(`${path}/content`);
    stack.defer(() => content.close());
    const metadata = await openMetadataStore({ root: path, content });
    stack.defer(() => metadata.close());
    return metadata;
  }

  async function removeImages(client: Client): Promise<void> {
    for (const image of await client.listImages()) await image.delete({ sync: true });
  }

  test.each(Object.keys(needed) as (keyof ClientServices)[])(
    "2: only %s is replaced, by one that records",
    async (name) => {
      const { service, calls } = recorded(plain.services[name]);
      await using client = await open({ [name]: service });
      await pullAndRun(client, h.image, h.daemon.id("recorded"));
      for (const call of needed[name] ?? []) expect(calls).toContain(call);
      await removeImages(plain);
    },
  );

  test("2: content in this process, and a differ that reads it; all else is the daemon's", async () => {
    await using stack = new AsyncDisposableStack();
    const { content } = await ownMetadata(stack);
    const contentStore = ignoreLeases(content);
    const diffService = await openWalkingDiffer({ content: contentStore, temporary: directory(), workers: 1 });
    stack.defer(() => diffService.close());
    await using client = await open({ contentStore, diffService });
    // The daemon sees no configuration that refers to the snapshots.
    await using lease = await client.createLease();
    await pullAndRun(lease.client, h.image, h.daemon.id("content"));
    expect(await blobs(client)).toBe(3);
    expect(await blobs(plain)).toBe(0);
    expect((await plain.listImages()).map(({ name }) => name)).toEqual([h.image]);
    await removeImages(plain);
  });

  test("2: a differ in this process, which reads the daemon's content", async () => {
    await using stack = new AsyncDisposableStack();
    const diffService = await openWalkingDiffer({ content: plain.content, temporary: directory(), workers: 1 });
    stack.defer(() => diffService.close());
    await using client = await open({ diffService });
    await pullAndRun(client, h.image, h.daemon.id("differ"));
    await removeImages(plain);
  });

  test("2: a snapshotter in this process, which the daemon has never heard of", async () => {
    await using stack = new AsyncDisposableStack();
    const native = openNativeSnapshotter(directory());
    stack.defer(() => native.close());
    const namespaceService = {
      ...plain.namespaces,
      get: async () => ({ name: plain.namespace, labels: new Map([["containerd.io/defaults/snapshotter", "mine"]]) }),
    };
    await using client = await open({ snapshotters: new Map([["mine", native]]), namespaceService });
    await pullAndRun(client, h.image, h.daemon.id("snapshotter"));
    const names = (await Array.fromAsync(native.walk(client.context(), []))).map(({ name }) => name);
    expect(names).toEqual([await (await client.getImage(h.image)).chainId()]);
    expect(await Array.fromAsync(plain.snapshotter("overlayfs").walk(plain.context(), []))).toEqual([]);
    await removeImages(plain);
  });

  test("2: images in this process; a lease keeps their content at the daemon", async () => {
    await using stack = new AsyncDisposableStack();
    const { images } = await ownMetadata(stack);
    await using outer = await open({ imageService: ignoreLeases(images) });
    await using lease = await outer.createLease();
    await pullAndRun(lease.client, h.image, h.daemon.id("images"));
    expect((await outer.listImages()).map(({ name }) => name)).toEqual([h.image]);
    expect(await plain.listImages()).toEqual([]);
  });

  test("2: namespaces in this process say which snapshotter is the default", async () => {
    await using stack = new AsyncDisposableStack();
    const { namespaces: namespaceService } = await ownMetadata(stack);
    const labels = new Map([["containerd.io/defaults/snapshotter", "native"]]);
    await using client = await open({ namespaceService });
    await client.namespaces.create(client.context(), { name: client.namespace, labels });
    await pullAndRun(client, h.image, h.daemon.id("namespaces"));
    expect(await (await client.getImage(h.image)).isUnpacked({ snapshotter: "native" })).toBe(true);
    expect((await plain.namespaces.get(plain.context(), plain.namespace)).labels.size).toBe(0);
    await removeImages(plain);
  });

  test("2: events, sandboxes, plugins and version of this process", async () => {
    await using stack = new AsyncDisposableStack();
    const { sandboxes: sandboxStore } = await ownMetadata(stack);
    const eventService = createEventExchange();
    const introspectionService = { ...plain.services.introspectionService, plugins: async () => [] };
    const versionService = { version: async () => ({ version: "9.9.9", revision: "own" }) };
    await using client = await open({ sandboxStore, eventService, introspectionService, versionService });
    const events = client.subscribe(['topic=="/own/event"'])[Symbol.asyncIterator]();
    const next = events.next();
    await eventService.publish(client.context(), "/own/event", protoAny("test.Event", new Uint8Array()));
    expect((await next).value).toMatchObject({ topic: "/own/event", namespace: client.namespace });
    await events.return?.();
    const id = h.daemon.id("sandbox");
    const sandbox = { sandboxId: id, runtime: { name: "r", options: undefined }, spec: undefined, labels: new Map() };
    const times = { createdAt: undefined, updatedAt: undefined };
    const record = { ...sandbox, ...times, extensions: new Map(), sandboxer: "own" };
    await client.services.sandboxStore.create(client.context(), record);
    expect((await client.services.sandboxStore.get(client.context(), id)).sandboxer).toBe("own");
    expect(await client.plugins()).toEqual([]);
    expect(await client.version()).toEqual({ version: "9.9.9", revision: "own" });
    await pullAndRun(client, h.image, h.daemon.id("rest"));
    await removeImages(plain);
  });

  test("2: containers and tasks of a daemon in this process; images, content and snapshots are the other's", async () => {
    const path = directory();
    const daemon = await startDaemon({
      plugins: builtins,
      config: configOf(path),
    });
    try {
      const own = fromDaemon(daemon);
      const { containerService, taskService, eventService } = own.services;
      await using outer = await open({ containerService: ignoreLeases(containerService), taskService, eventService });
      // The other daemon does not see that a container has the snapshot.
      await using lease = await outer.createLease();
      const exits = outer.subscribe(['topic=="/tasks/exit"'])[Symbol.asyncIterator]();
      const exit = exits.next();
      await pullAndRun(lease.client, h.image, h.daemon.id("tasks"));
      expect((await exit).value).toMatchObject({ namespace: outer.namespace });
      await exits.return?.();
      expect(await own.inNamespace(outer.namespace).listImages()).toEqual([]);
    } finally {
      await daemon.stop();
    }
    await removeImages(plain);
  });
});

describe("client inside the daemon's process", () => {
  let h: Harness;
  beforeAll(async () => {
    h = await openHarness("client-embedded", { pull: false });
  });
  afterAll(() => h?.close());

  test("1: pulls, runs, adds a process, and hears of it, without a socket", async () => {
    const path = h.path("embedded");
    const daemon = await startDaemon({ plugins: builtins, config: configOf(path) });
    try {
      await using client = fromDaemon(daemon, {
        namespace: h.daemon.namespace,
        resolver,
        fifoDirectory: h.path("fifo"),
      });
      expect((await client.version()).version).toMatch(/^\d+\.\d+\.\d+/);
      expect(await client.isServing()).toBe(true);
      expect((await client.plugins(["id==overlayfs"])).map(({ state }) => state)).toEqual(["ok"]);
      await pullAndRun(client, h.image, h.daemon.id("embedded"));
      const topics: string[] = [];
      const listening = new AbortController();
      const events = client.subscribe(['topic~="^/tasks/exec"'], { signal: listening.signal });
      const collecting = (async () => {
        for await (const { topic } of events) topics.push(topic);
      })();
      {
        await using container = await client.newContainer(h.daemon.id("exec"), {
          image: h.image,
          specOptions: [withImageConfig({ args: ["sleep", "1000"] })],
        });
        await using task = await container.newTask({ io: nullIo });
        await task.start();
        await using process = await task.exec("more", { process: { args: ["echo", "more"] } });
        await process.start();
        expect(await outputOf(process)).toBe("more\n");
        expect(await process.wait()).toMatchObject({ exitCode: 0 });
      }
      await expect.poll(() => topics).toEqual(["/tasks/exec-added", "/tasks/exec-started"]);
      listening.abort();
      await collecting;
      await expect(client.loadContainer("absent")).rejects.toMatchObject({ kind: "not-found" });
      for (const image of await client.listImages()) await image.delete({ sync: true });
      expect(await Array.fromAsync(client.content.list(client.context(), []))).toEqual([]);
    } finally {
      await daemon.stop();
    }
  });
});
