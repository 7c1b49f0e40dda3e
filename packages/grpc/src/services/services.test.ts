import { ContainerCreate, ContainerUpdate } from "@ctrd/api/events/container";
import { ImageCreate } from "@ctrd/api/events/image";
import { NamespaceCreate } from "@ctrd/api/events/namespace";
import { SandboxExit } from "@ctrd/api/events/sandbox";
import { RuntimeInfo, RuntimeRequest } from "@ctrd/api/types/introspection";
import type { Container, ContainerStore } from "@ctrd/core/containers";
import { createContext } from "@ctrd/core/context";
import type { Differ } from "@ctrd/core/diff";
import { notFound, notImplemented } from "@ctrd/core/errors";
import type { EventPublisher } from "@ctrd/core/events";
import type { ImageStore } from "@ctrd/core/images";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import type { PluginStatus } from "@ctrd/core/plugin";
import type { Any, Descriptor } from "@ctrd/core/records";
import type { Sandbox, SandboxController } from "@ctrd/core/sandboxes";
import type { TaskRuntime } from "@ctrd/core/tasks";
import { protoAny } from "@ctrd/core/typeurl";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { containersService } from "./containers.ts";
import { diffService } from "./diff.ts";
import { imagesService } from "./images.ts";
import { introspectionService } from "./introspection.ts";
import { namespacesService } from "./namespaces.ts";
import { publishingController } from "./sandbox-controllers.ts";

const ctx = createContext({ namespace: "default" });
const labels = new Map([["a", "b"]]);

type Published = [namespace: string, topic: string, event: Any];

function recordedEvents(): { events: EventPublisher; published: Published[] } {
  const published: Published[] = [];
  return {
    events: { publish: async ({ namespace }, topic, event) => void published.push([namespace, topic, event]) },
    published,
  };
}

const refuse = async (): Promise<never> => {
  throw notFound("x");
};

describe("containers service", () => {
  const container: Container = {
    id: "c",
    labels,
    image: "i",
    runtime: { name: "io.containerd.runc.v2", options: undefined },
    spec: undefined,
    snapshotter: "",
    snapshotKey: "k",
    createdAt: undefined,
    updatedAt: undefined,
    extensions: new Map(),
    sandbox: "",
  };

  it("tells of changes", async () => {
    const { events, published } = recordedEvents();
    const store = { create: async () => container, update: async () => container, delete: async () => {} };
    const service = containersService(store as unknown as ContainerStore, events);
    await service.create(ctx, container);
    await service.update(ctx, container, ["labels"]);
    await service.delete(ctx, "c");
    expect(published.map(([namespace, topic, event]) => [namespace, topic, event.typeUrl])).toEqual([
      ["default", "/containers/create", "containerd.events.ContainerCreate"],
      ["default", "/containers/update", "containerd.events.ContainerUpdate"],
      ["default", "/containers/delete", "containerd.events.ContainerDelete"],
    ]);
    const [created, updated] = published.map(([, , event]) => event.value);
    expect(ContainerCreate.decode(created!)).toMatchObject({
      id: "c",
      image: "i",
      runtime: { name: "io.containerd.runc.v2" },
    });
    expect(ContainerUpdate.decode(updated!)).toEqual({ id: "c", image: "i", labels, snapshotKey: "k" });
  });

  it("tells nothing of a failure", async () => {
    const { events, published } = recordedEvents();
    const service = containersService({ create: refuse, delete: refuse } as unknown as ContainerStore, events);
    await expect(service.create(ctx, container)).rejects.toThrow();
    await expect(service.delete(ctx, "c")).rejects.toThrow();
    expect(published).toEqual([]);
  });
});

describe("sandbox controllers", () => {
  it("tell what becomes of sandboxes, and nothing of a failure", async () => {
    const { events, published } = recordedEvents();
    const exit = { exitStatus: 7, exitedAt: { seconds: 1n, nanos: 2 } };
    const controller = {
      create: async () => {},
      start: async () => ({ pid: 1 }),
      wait: async () => exit,
      stop: refuse,
    } as unknown as SandboxController;
    const publishing = publishingController(controller, events);
    await publishing.create(ctx, { sandboxId: "s" } as Sandbox);
    expect(await publishing.start(ctx, "s")).toEqual({ pid: 1 });
    expect(await publishing.wait(ctx, "s")).toBe(exit);
    await expect(publishing.stop(ctx, "s", 0)).rejects.toMatchObject({ kind: "not-found" });
    expect(published.map(([namespace, topic, event]) => [namespace, topic, event.typeUrl])).toEqual([
      ["default", "/sandboxes/create", "containerd.events.SandboxCreate"],
      ["default", "/sandboxes/start", "containerd.events.SandboxStart"],
      ["default", "/sandboxes/exit", "containerd.events.SandboxExit"],
    ]);
    expect(SandboxExit.decode(published[2]![2].value)).toEqual({ sandboxId: "s", ...exit });
  });
});

describe("images service", () => {
  it("tells of changes and collects garbage only when asked, after the delete", async () => {
    const { events, published } = recordedEvents();
    const steps: string[] = [];
    const image = { name: "n", labels, target: undefined, createdAt: undefined, updatedAt: undefined };
    const store = { create: async () => image, delete: async () => void steps.push("delete") } as unknown as ImageStore;
    const gc = {
      scheduleAndWait: async () => {
        steps.push("gc");
        return { pauseMs: 0, totalMs: 0, removed: new Map() };
      },
    };
    const service = imagesService(store, events, gc);
    await service.create(ctx, image);
    await service.delete(ctx, "n");
    await service.delete(ctx, "n", { sync: true });
    expect(steps).toEqual(["delete", "delete", "gc"]);
    expect(published.map(([, topic]) => topic)).toEqual(["/images/create", "/images/delete", "/images/delete"]);
    expect(published[0]?.[2].typeUrl).toBe("containerd.services.images.v1.ImageCreate");
    expect(ImageCreate.decode(published[0]![2].value)).toEqual({ name: "n", labels });
  });
});

describe("namespaces service", () => {
  it("tells of changes in the namespace they are about", async () => {
    const { events, published } = recordedEvents();
    const store = { create: async () => ({ name: "n", labels }), delete: async () => {} } as unknown as NamespaceStore;
    const service = namespacesService(store, events);
    await service.create(createContext(), { name: "n", labels });
    await service.delete(createContext(), "n");
    expect(published.map(([namespace, topic]) => [namespace, topic])).toEqual([
      ["n", "/namespaces/create"],
      ["n", "/namespaces/delete"],
    ]);
    expect(NamespaceCreate.decode(published[0]![2].value)).toEqual({ name: "n", labels });
  });
});

describe("diff service", () => {
  const layer: Descriptor = { mediaType: "m", digest: "sha256:1", size: 1n, annotations: new Map() };
  const differ = (name: string, knows: boolean, seen: unknown[] = []): Differ => ({
    async apply(_ctx, diff, _mounts, options) {
      seen.push([name, options?.syncFs]);
      if (!knows) throw notImplemented(`${name} apply`);
      return { ...diff, mediaType: name };
    },
    compare: async () => ({ ...layer, mediaType: name }),
  });

  it("asks differs in order, and stops at the first that knows the type", async () => {
    const seen: unknown[] = [];
    const differs = new Map([
      ["a", differ("a", false, seen)],
      ["b", differ("b", true, seen)],
      ["c", differ("c", true, seen)],
    ]);
    const service = diffService(differs, { order: ["a", "b", "c"], syncFs: true });
    expect((await service.apply(ctx, layer, [])).mediaType).toBe("b");
    expect(seen).toEqual([
      ["a", true],
      ["b", true],
    ]);
  });

  it("does not hide a failure behind the next differ", async () => {
    const failing: Differ = { apply: refuse, compare: refuse };
    const service = diffService(
      new Map([
        ["a", failing],
        ["b", differ("b", true)],
      ]),
      { order: ["a", "b"], syncFs: false },
    );
    await expect(service.apply(ctx, layer, [])).rejects.toMatchObject({ kind: "not-found" });
  });

  it("says that no differ can, and which differ is missing", async () => {
    const differs = new Map([
      ["a", differ("a", false)],
      ["b", differ("b", false)],
    ]);
    await expect(
      diffService(differs, { order: ["a", "b"], syncFs: false }).apply(ctx, layer, []),
    ).rejects.toMatchObject({
      kind: "not-implemented",
      message: expect.stringContaining('"m"'),
    });
    expect(() => diffService(differs, { order: ["walking"], syncFs: false })).toThrow(/"walking".*loaded: a, b/);
    expect(() => diffService(differs, { order: [], syncFs: false })).toThrow(/at least one/);
  });
});

describe("introspection service", () => {
  const plugin = (type: string, id: string, state: PluginStatus["state"] = "ok"): PluginStatus => ({
    type,
    id,
    requires: [],
    state,
    meta: { exports: new Map(), platforms: [], capabilities: [] },
  });
  const info = {
    name: "runc",
    version: { version: "1", revision: "" },
    options: undefined,
    features: undefined,
    annotations: new Map(),
  };
  const runtime = { info: async () => info } as unknown as TaskRuntime;

  function service(root: string) {
    const plugins = [
      plugin("io.containerd.runtime.v2", "task"),
      plugin("io.containerd.content.v1", "content"),
      plugin("t", "bad", "failed"),
    ];
    return introspectionService({ plugins: () => plugins, runtimes: new Map([["task", runtime]]), root });
  }

  it("filters plugins", async () => {
    const found = await service("/nowhere").plugins(ctx, ['type~="content"', "id==bad"]);
    expect(found.map(({ id }) => id)).toEqual(["content", "bad"]);
    await expect(service("/nowhere").plugins(ctx, ["id=="])).rejects.toMatchObject({ kind: "invalid-argument" });
  });

  it("keeps one uuid for a root, and replaces a damaged one", async () => {
    const root = await mkdtemp(join(tmpdir(), "ctrd-uuid-"));
    const directory = join(root, "made");
    const first = service(directory);
    const [a, b] = await Promise.all([first.server(ctx), first.server(ctx)]);
    expect(a.uuid).toMatch(/^[0-9a-f-]{36}$/);
    expect(b.uuid).toBe(a.uuid);
    expect(await readFile(join(directory, "uuid"), "utf8")).toBe(a.uuid);
    expect(await service(directory).server(ctx)).toMatchObject({ uuid: a.uuid, pid: BigInt(process.pid) });
    await writeFile(join(directory, "uuid"), "");
    expect((await service(directory).server(ctx)).uuid).toMatch(/^[0-9a-f-]{36}$/);
    await rm(root, { recursive: true });
  });

  it("asks a runtime about itself", async () => {
    const introspection = service("/nowhere");
    const request = protoAny(
      "containerd.types.RuntimeRequest",
      RuntimeRequest.encode({ runtimePath: "", options: undefined }).finish(),
    );
    const { plugin: status, extra } = await introspection.pluginInfo(ctx, "io.containerd.runtime.v2", "task", request);
    expect(status.id).toBe("task");
    expect(extra?.typeUrl).toBe("containerd.types.RuntimeInfo");
    expect(RuntimeInfo.decode(extra!.value)).toEqual(info);
    expect(
      (await introspection.pluginInfo(ctx, "io.containerd.content.v1", "content", undefined)).extra,
    ).toBeUndefined();
  });

  it.each([
    ["io.containerd.runtime.v2", "other", "not-found"],
    ["io.containerd.content.v1", "content", "not-implemented"],
    ["t", "bad", "failed-precondition"],
  ])("has no further information of %s.%s: %s", async (type, id, kind) => {
    const request = protoAny("containerd.types.RuntimeRequest", new Uint8Array());
    await expect(service("/nowhere").pluginInfo(ctx, type, id, request)).rejects.toMatchObject({ kind });
  });
});
