import { Any as AnyMessage } from "@ctrd/api/google/protobuf/any";
import { CheckpointOptions, Options as RuncOptions } from "@ctrd/api/types/runc/options/oci";
import type { Container, ContainerStore } from "@ctrd/core/containers";
import type { ContentStore } from "@ctrd/core/content";
import { createContext } from "@ctrd/core/context";
import { digestOf } from "@ctrd/core/digests";
import { notFound, unavailable } from "@ctrd/core/errors";
import type { CreateTaskOptions, CreateTaskRequest, Task, TaskProcess, TaskRuntime } from "@ctrd/core/tasks";
import { TaskStatus } from "@ctrd/core/tasks";
import { jsonAny, protoAny, specTypeUrl } from "@ctrd/core/typeurl";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { checkpointConfigMediaType, checkpointMediaType } from "./checkpoint.ts";
import { tasksService } from "./service.ts";

const ctx = createContext({ namespace: "default" });
const spec = jsonAny(specTypeUrl, { ociVersion: "1.1.0" });

const container: Container = {
  id: "c",
  labels: new Map(),
  image: "i",
  runtime: { name: "io.containerd.runc.v2", options: protoAny("containerd.runc.v1.Options", new Uint8Array([1])) },
  spec,
  snapshotter: "overlayfs",
  snapshotKey: "c",
  createdAt: undefined,
  updatedAt: undefined,
  extensions: new Map(),
  sandbox: "",
};

const request: CreateTaskRequest = {
  containerId: "c",
  rootfs: [],
  stdin: "/in",
  stdout: "/out",
  stderr: "",
  terminal: true,
  checkpoint: undefined,
  options: undefined,
  runtimePath: "",
  taskApiAddress: "",
  taskApiVersion: 0,
};

const running: TaskProcess = {
  containerId: "",
  id: "",
  pid: 7,
  status: TaskStatus.Running,
  stdin: "",
  stdout: "",
  stderr: "",
  terminal: false,
  exitStatus: 0,
  exitedAt: undefined,
};

function fakeTask(id: string, methods: Partial<Task> = {}): Task {
  return { id, namespace: "default", pid: 7, state: async () => running, ...methods } as Task;
}

class FakeRuntime {
  readonly tasks = new Map<string, Task>();
  readonly created: CreateTaskOptions[] = [];
  onCreate: (options: CreateTaskOptions) => void = () => {};

  async create(_ctx: unknown, id: string, options: CreateTaskOptions): Promise<Task> {
    this.created.push(options);
    this.onCreate(options);
    const task = fakeTask(id);
    this.tasks.set(id, task);
    return task;
  }

  async get(_ctx: unknown, id: string): Promise<Task> {
    const task = this.tasks.get(id);
    if (task === undefined) throw notFound(`task ${id} not found`);
    return task;
  }

  list = async (): Promise<Task[]> => [...this.tasks.values()];
  delete = async () => ({ pid: 7, exitStatus: 137, exitedAt: undefined });
}

/** Blobs in memory; enough for checkpoints. */
function memoryContent(blobs: Map<string, Buffer>): ContentStore {
  return {
    async writer(_ctx: unknown, { ref }: { ref: string }) {
      let data = Buffer.alloc(0);
      return {
        write: async (chunk: Uint8Array) => void (data = Buffer.concat([data, chunk])),
        digest: async () => digestOf(data),
        status: () => ({ ref, offset: BigInt(data.length) }),
        commit: async () => void blobs.set(digestOf(data), data),
        close: async () => {},
      };
    },
    async reader(_ctx: unknown, digest: string) {
      const data = blobs.get(digest);
      if (data === undefined) throw notFound(`content "${digest}"`);
      const read = async (offset: bigint, length: number) => data.subarray(Number(offset), Number(offset) + length);
      return { size: BigInt(data.length), read, close: async () => {} };
    },
  } as unknown as ContentStore;
}

let runtime: FakeRuntime;
let stored: Container;
let blobs: Map<string, Buffer>;
let temporary: string;

beforeEach(async () => {
  runtime = new FakeRuntime();
  stored = container;
  blobs = new Map();
  temporary = await mkdtemp(join(tmpdir(), "ctrd-tasks-"));
  vi.stubEnv("XDG_RUNTIME_DIR", temporary);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  expect(readdirSync(temporary)).toEqual([]);
  await rm(temporary, { recursive: true });
});

function service() {
  const get = async (_ctx: unknown, id: string) => {
    if (id !== "c") throw notFound(`container "${id}"`);
    return stored;
  };
  return tasksService({
    runtime: runtime as unknown as TaskRuntime,
    containers: { get } as unknown as ContainerStore,
    content: memoryContent(blobs),
    stateTimeoutMs: 100,
    statsTimeoutMs: 100,
  });
}

describe("create", () => {
  it("takes spec, runtime and options from the container record", async () => {
    stored = { ...container, sandbox: "sb" };
    const options = protoAny(
      "containerd.runc.v1.Options",
      RuncOptions.encode(RuncOptions.create({ noPivotRoot: true })).finish(),
    );
    const answer = await service().create(ctx, { ...request, options, taskApiAddress: "unix:///s", taskApiVersion: 3 });
    expect(answer).toEqual({ containerId: "c", pid: 7 });
    expect(runtime.created).toEqual([
      {
        spec,
        rootfs: [],
        io: { stdin: "/in", stdout: "/out", stderr: "", terminal: true },
        runtime: "io.containerd.runc.v2",
        runtimeOptions: container.runtime?.options,
        taskOptions: options,
        sandboxId: "sb",
        taskApiAddress: "unix:///s",
        taskApiVersion: 3,
      },
    ]);
  });

  it("prefers the runtime path of the request", async () => {
    await service().create(ctx, { ...request, runtimePath: "/usr/bin/shim" });
    expect(runtime.created[0]?.runtime).toBe("/usr/bin/shim");
  });

  it("refuses an existing task, a missing container, and a container without spec or runtime", async () => {
    runtime.tasks.set("c", fakeTask("c"));
    await expect(service().create(ctx, request)).rejects.toMatchObject({
      kind: "already-exists",
      message: "task c: already exists",
    });
    await expect(service().create(ctx, { ...request, containerId: "x" })).rejects.toMatchObject({ kind: "not-found" });
    stored = { ...container, spec: undefined };
    await expect(service().create(ctx, request)).rejects.toMatchObject({ kind: "invalid-argument" });
    stored = { ...container, runtime: undefined };
    await expect(service().create(ctx, request)).rejects.toMatchObject({ kind: "invalid-argument" });
    await expect(service().create(createContext(), request)).rejects.toMatchObject({ kind: "failed-precondition" });
    expect(runtime.created).toEqual([]);
  });
});

describe("checkpoints", () => {
  it("go into the content store as a tar and the spec, and come back as a directory", async () => {
    const checkpoint = async (_ctx: unknown, path: string) =>
      writeFileSync(join(path, "pages.img"), "x".repeat(3_000_000));
    runtime.tasks.set("c", fakeTask("c", { checkpoint }));
    const { descriptors } = await service().checkpoint(ctx, {
      containerId: "c",
      parentCheckpoint: "",
      options: undefined,
    });
    expect(descriptors.map(({ mediaType }) => mediaType)).toEqual([checkpointMediaType, checkpointConfigMediaType]);
    expect(AnyMessage.decode(blobs.get(descriptors[1]!.digest)!).typeUrl).toBe(specTypeUrl);

    runtime.tasks.clear();
    let restored = "";
    runtime.onCreate = ({ checkpoint: directory = "" }) => {
      restored = directory;
      expect(readFileSync(join(directory, "pages.img"), "utf8")).toBe("x".repeat(3_000_000));
    };
    await service().create(ctx, { ...request, checkpoint: descriptors[0] });
    expect(restored).not.toBe("");
    expect(existsSync(restored)).toBe(false);
  });

  it("stay in a directory that the options name", async () => {
    const paths: string[] = [];
    runtime.tasks.set("c", fakeTask("c", { checkpoint: async (_ctx, path) => void paths.push(path) }));
    const value = CheckpointOptions.encode(CheckpointOptions.create({ imagePath: "/images/c" })).finish();
    const options = protoAny("containerd.runc.v1.CheckpointOptions", value);
    expect(await service().checkpoint(ctx, { containerId: "c", parentCheckpoint: "", options })).toEqual({
      descriptors: [],
    });
    expect(paths).toEqual(["/images/c"]);
    expect(blobs.size).toBe(0);
  });

  it("are restored from a directory by option or annotation", async () => {
    const value = RuncOptions.encode(RuncOptions.create({ criuImagePath: "/criu" })).finish();
    await service().create(ctx, { ...request, options: protoAny("containerd.runc.v1.Options", value) });
    runtime.tasks.clear();
    const annotations = new Map([["RestoreFromPath", "/annotated"]]);
    await service().create(ctx, { ...request, checkpoint: { mediaType: "any", digest: "", size: 0n, annotations } });
    expect(runtime.created.map(({ checkpoint }) => checkpoint)).toEqual(["/criu", "/annotated"]);
  });

  it("of another type are refused, and hostile archives too", async () => {
    const annotations = new Map<string, string>();
    const other = { mediaType: "application/x", digest: "sha256:1", size: 1n, annotations };
    await expect(service().create(ctx, { ...request, checkpoint: other })).rejects.toThrow(/"application\/x"/);
    blobs.set("sha256:2", Buffer.alloc(5000, 0xff));
    const broken = { mediaType: checkpointMediaType, digest: "sha256:2", size: 5000n, annotations };
    await expect(service().create(ctx, { ...request, checkpoint: broken })).rejects.toMatchObject({
      kind: "invalid-argument",
    });
    expect(runtime.created).toEqual([]);
  });
});

describe("processes", () => {
  it("of a missing task are not found", async () => {
    const ref = { containerId: "x", execId: "" };
    for (const call of [
      service().start(ctx, ref),
      service().get(ctx, ref),
      service().kill(ctx, { ...ref, signal: 9, all: false }),
      service().wait(ctx, ref),
      service().delete(ctx, ref),
      service().checkpoint(ctx, { containerId: "x", parentCheckpoint: "", options: undefined }),
    ]) {
      await expect(call).rejects.toThrow("task x not found");
    }
  });

  it("have ids: the task's or the exec's", async () => {
    runtime.tasks.set("c", fakeTask("c"));
    expect((await service().get(ctx, { containerId: "c", execId: "" })).process).toMatchObject({
      id: "c",
      containerId: "c",
      pid: 7,
    });
    expect((await service().get(ctx, { containerId: "c", execId: "e" })).process).toMatchObject({ id: "e" });
    expect(await service().delete(ctx, { containerId: "c" })).toMatchObject({ id: "c", exitStatus: 137 });
  });

  it("need an exec id and a spec", async () => {
    runtime.tasks.set("c", fakeTask("c"));
    const exec = { containerId: "c", execId: "", stdin: "", stdout: "", stderr: "", terminal: false, spec };
    await expect(service().exec(ctx, exec)).rejects.toMatchObject({ kind: "invalid-argument" });
    await expect(service().exec(ctx, { ...exec, execId: "e", spec: undefined })).rejects.toMatchObject({
      kind: "invalid-argument",
    });
    await expect(service().deleteProcess(ctx, { containerId: "c", execId: "" })).rejects.toMatchObject({
      kind: "invalid-argument",
    });
  });
});

describe("lists", () => {
  const stuck = fakeTask("stuck", { state: () => new Promise(() => {}), stats: () => new Promise(() => {}) });

  it("show a task whose shim is stuck as unknown, in time, and leave out one that is gone", async () => {
    const gone = { state: async () => Promise.reject(notFound("task gone not found")) };
    const lost = { state: async () => Promise.reject(unavailable("shim")) };
    for (const task of [fakeTask("a"), stuck, fakeTask("gone", gone), fakeTask("lost", lost)])
      runtime.tasks.set(task.id, task);
    const start = performance.now();
    const { tasks } = await service().list(ctx, { filter: "" });
    expect(performance.now() - start).toBeLessThan(1000);
    expect(tasks.map(({ id, status, pid }) => [id, status, pid])).toEqual([
      ["a", TaskStatus.Running, 7],
      ["stuck", TaskStatus.Unknown, 7],
    ]);
  });

  it("collect metrics of the tasks that match and answer", async () => {
    const data = protoAny("io.containerd.cgroups.v2.Metrics", new Uint8Array());
    for (const task of [
      fakeTask("a", { stats: async () => data }),
      fakeTask("b", { stats: async () => data }),
      stuck,
    ]) {
      runtime.tasks.set(task.id, task);
    }
    const ids = async (filters: string[]) => (await service().metrics(ctx, { filters })).metrics.map(({ id }) => id);
    expect(await ids([])).toEqual(["a", "b"]);
    expect(await ids(["id==b"])).toEqual(["b"]);
    expect(await ids(["namespace==other"])).toEqual([]);
    await expect(service().metrics(ctx, { filters: ["id=="] })).rejects.toMatchObject({ kind: "invalid-argument" });
  });
});
