import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BootstrapParams } from "@ctrd/api/runtime/bootstrap/v1/bootstrap";
import { TaskDefinition as TaskV2 } from "@ctrd/api/runtime/task/v2/shim";
import { TaskDefinition as TaskV3 } from "@ctrd/api/runtime/task/v3/shim";
import { RuntimeInfo } from "@ctrd/api/types/introspection";
import { ContainerdError, notFound, notImplemented } from "@ctrd/core/errors";
import { ttrpcNamespaceHeader } from "@ctrd/core/namespaces";
import type { CreateTaskOptions } from "@ctrd/core/tasks";
import type { Handlers } from "@ctrd/ttrpc";
import { firstValue, TtrpcServer } from "@ctrd/ttrpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TestIo } from "../test/harness.ts";
import { Harness, until } from "../test/harness.ts";
import type { ShimManagerOptions } from "./manager.ts";
import type { ShimRuntime } from "./runtime.ts";

let harness: Harness;
let runtime: ShimRuntime;
let server: TtrpcServer;
let calls: string[];
let io: TestIo;

/** A shim in this process: it answers, and notes what it was asked. */
function fakeHandlers(version: number): Handlers<typeof TaskV3> {
  const note = (call: { metadata: Map<string, string[]> }, method: string, id: string): void => {
    calls.push(`v${version} ${firstValue(call.metadata, ttrpcNamespaceHeader) === harness.namespace} ${method} ${id}`);
  };
  return {
    async create(call, { id }) {
      note(call, "create", id);
      return { pid: 77 };
    },
    async delete(call, { id }) {
      note(call, "delete", id);
      return { pid: 77, exitStatus: 9, exitedAt: undefined };
    },
    async shutdown(call, { id }) {
      note(call, "shutdown", id);
      if (version === 3) throw notFound("nobody");
      return {};
    },
    async connect(call, { id }) {
      note(call, "connect", id);
      return { shimPid: 1, taskPid: 77, version: "" };
    },
    async pids(call, { id }) {
      note(call, "pids", id);
      return { processes: [{ pid: 77, info: undefined }] };
    },
  };
}

const socket = (): string => join(harness.dir, "shim.sock");

/** A binary whose `start` prints `answer`; its standard input and arguments are kept. */
function writeShim(name: string, answer: string, version = ""): void {
  const bin = join(harness.dir, "bin");
  mkdirSync(bin, { recursive: true });
  const script = `#!/bin/sh
for last; do :; done
case "$last" in
  -v) printf '%s\\n' '${version}';;
  start) echo "$PWD $*" > ${harness.dir}/args; cat > ${harness.dir}/input; ${answer};;
  -info) cat ${harness.dir}/info;;
  delete) echo "$PWD $*" > ${harness.dir}/delete-args;;
esac
`;
  writeFileSync(join(bin, name), script);
  chmodSync(join(bin, name), 0o755);
}

function options(more: Partial<CreateTaskOptions> = {}): CreateTaskOptions {
  return { ...harness.createOptions("t", io, { args: ["true"] }), runtime: "io.containerd.fake.v1", ...more };
}

async function open(more: Partial<ShimManagerOptions> = {}): Promise<void> {
  runtime = await harness.runtime({ searchPath: join(harness.dir, "bin"), ...more });
}

const failure = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof ContainerdError ? `${error.kind}: ${error.message}` : String(error)),
  );

beforeEach(async () => {
  harness = await Harness.open();
  io = harness.io();
  calls = [];
  server = new TtrpcServer();
  await server.listen(socket());
});

afterEach(async () => {
  await runtime.close();
  server.close();
  io.close();
  await harness.close();
});

describe("a rootfs for the mount manager", () => {
  const rootfs = [{ type: "format/erofs", source: "/img", target: "", options: ["X-containerd.format.x=1"] }];

  it("is refused before anything is made, by a shim that does not do it and by one that is too old to tell", async () => {
    writeShim("containerd-shim-fake-v1", "");
    writeFileSync(join(harness.dir, "info"), RuntimeInfo.encode(RuntimeInfo.create({ name: "fake" })).finish());
    await open();
    for (const name of ["io.containerd.fake.v1", "/usr/bin/containerd-shim-runc-v2"]) {
      expect(await failure(runtime.create(harness.ctx, "t", options({ rootfs, runtime: name })))).toMatch(
        /^not-implemented: mount of type "format\/erofs" from "\/img": "format\/" is for containerd's mount manager/,
      );
    }
    expect(existsSync(join(harness.stateDir, harness.namespace))).toBe(false);
    expect(existsSync(join(harness.dir, "args"))).toBe(false);
  });

  it("goes as it is to a shim that does such mounts itself", async () => {
    let received: unknown;
    server.register(TaskV3, {
      ...fakeHandlers(3),
      create: async (_call, request) => {
        received = request.rootfs;
        return { pid: 77 };
      },
    });
    writeShim("containerd-shim-fake-v1", `printf '{"version":3,"address":"unix://${socket()}","protocol":"ttrpc"}'`);
    const annotations = new Map([["containerd.io/runtime-allow-mounts", "mkdir/*,format/*"]]);
    const info = RuntimeInfo.create({ name: "fake", annotations });
    writeFileSync(join(harness.dir, "info"), RuntimeInfo.encode(info).finish());
    await open();
    await runtime.create(harness.ctx, "t", options({ rootfs }));
    expect(received).toEqual(rootfs);
    await runtime.delete(harness.ctx, "t");
  });
});

describe("a shim's start", () => {
  it("gets BootstrapParams unless it is old, in the bundle, with the contract's arguments", async () => {
    server.register(TaskV3, fakeHandlers(3));
    writeShim("containerd-shim-fake-v1", `printf '{"version":3,"address":"unix://${socket()}","protocol":"ttrpc"}'`);
    await open();
    await runtime.create(harness.ctx, "t", options());
    const bundle = join(harness.stateDir, harness.namespace, "t");
    expect(readFileSync(join(harness.dir, "args"), "utf8").trim()).toBe(
      `${bundle} -namespace ${harness.namespace} -address ${harness.grpcAddress} -publish-binary /bin/true -id t start`,
    );
    expect(BootstrapParams.decode(readFileSync(join(harness.dir, "input")))).toMatchObject({
      instanceId: "t",
      namespace: harness.namespace,
      extensions: [{ value: { typeUrl: "containerd.runc.v1.Options" } }],
    });
    expect(calls).toEqual(["v3 true create t"]);
    expect(await runtime.delete(harness.ctx, "t")).toMatchObject({ pid: 77, exitStatus: 9 });
    expect(calls.slice(1)).toEqual(["v3 true delete t", "v3 true shutdown t"]);
  });

  it("serves the real 1.6 shim although it does not tell its version", async () => {
    writeShim("containerd-shim-fake-v1", "");
    const bin = join(harness.dir, "bin/containerd-shim-fake-v1");
    const wrapper = `#!/bin/sh\ncase "$1" in -v) exit 1;; esac\nexec /usr/bin/containerd-shim-runc-v2 "$@"\n`;
    writeFileSync(bin, wrapper);
    await open();
    const task = await runtime.create(harness.ctx, "t", options());
    await task.start(harness.ctx, "");
    expect(await task.wait(harness.ctx, "")).toMatchObject({ exitStatus: 0 });
    await runtime.delete(harness.ctx, "t");
  });

  it("fails with what the shim printed, and leaves nothing", async () => {
    writeShim("containerd-shim-fake-v1", "echo no luck today >&2; exit 1");
    await open();
    expect(await failure(runtime.create(harness.ctx, "t", options()))).toMatch(
      /^unknown: .*exit code 1: no luck today/,
    );
    expect(existsSync(join(harness.stateDir, harness.namespace, "t"))).toBe(false);
  });

  it("is refused for abstract addresses, grpc and versions to come", async () => {
    await open();
    const answers: [string, RegExp][] = [
      [`printf /containerd-shim/x.sock`, /^failed-precondition: .*abstract/],
      [`printf '{"version":3,"address":"unix://${socket()}","protocol":"grpc"}'`, /^not-implemented: .*grpc/],
      [`printf '{"version":4,"address":"unix://${socket()}","protocol":"ttrpc"}'`, /^not-implemented: .*version 4/],
      [`true`, /^invalid-argument: .*no address/],
    ];
    for (const [answer, expected] of answers) {
      writeShim("containerd-shim-fake-v1", answer);
      expect(await failure(runtime.create(harness.ctx, "t", options()))).toMatch(expected);
      expect(existsSync(join(harness.stateDir, harness.namespace, "t"))).toBe(false);
    }
  });
});

describe("the task API", () => {
  it("falls back to version 2 when a version 3 shim does not implement it", async () => {
    server.register(TaskV3, { create: () => Promise.reject(notImplemented("create")) });
    server.register(TaskV2, fakeHandlers(2) as Handlers<typeof TaskV2>);
    writeShim("containerd-shim-fake-v1", `printf '{"version":3,"address":"unix://${socket()}","protocol":"ttrpc"}'`);
    await open();
    const task = await runtime.create(harness.ctx, "t", options());
    expect((await task.pids(harness.ctx)).length).toBe(1);
    expect(calls).toEqual(["v2 true create t", "v2 true pids t"]);
    // The fake does not end after Shutdown; the runtime stops waiting for it.
    await runtime.delete(harness.ctx, "t");
  });

  it("prefers task options that hold something over the container's", async () => {
    const seen: (string | undefined)[] = [];
    server.register(TaskV3, {
      ...fakeHandlers(3),
      create: async (_call, request) => {
        seen.push(request.options?.typeUrl);
        return { pid: 1 };
      },
    });
    writeShim("containerd-shim-fake-v1", `printf '{"version":3,"address":"unix://${socket()}","protocol":"ttrpc"}'`);
    await open();
    const empty = { typeUrl: "empty", value: new Uint8Array(0) };
    const full = { typeUrl: "full", value: new Uint8Array([1]) };
    await runtime.create(harness.ctx, "t", options({ taskOptions: empty }));
    await runtime.create(harness.ctx, "u", options({ taskOptions: full }));
    expect(seen).toEqual(["containerd.runc.v1.Options", "full"]);
    for (const id of ["t", "u"]) await runtime.delete(harness.ctx, id);
  });
});

describe("a lost shim whose delete fails", () => {
  it("gives status 255 and is forgotten all the same", async () => {
    server.register(TaskV3, fakeHandlers(3));
    writeShim("containerd-shim-fake-v1", `printf '{"version":3,"address":"unix://${socket()}","protocol":"ttrpc"}'`);
    await open({ timeouts: new Map([["io.containerd.timeout.shim.cleanup", 200]]) });
    await runtime.create(harness.ctx, "t", options());
    const bin = join(harness.dir, "bin/containerd-shim-fake-v1");
    writeFileSync(bin, readFileSync(bin, "utf8").replace("delete) ", "delete) sleep 60;"));
    server.close();
    await until("events", () => harness.topics("t").length === 2);
    expect(harness.topics("t")).toEqual(["/tasks/exit", "/tasks/delete"]);
    expect(harness.exits("t")).toEqual([expect.objectContaining({ id: "t", exitStatus: 255, pid: 77 })]);
    expect(await runtime.list(harness.ctx, true)).toEqual([]);
    expect(existsSync(join(harness.stateDir, harness.namespace, "t"))).toBe(false);
  });
});

describe("a container in a sandbox", () => {
  const sandboxes: ShimManagerOptions["sandboxes"] = {
    get: async (_ctx, id) => {
      if (id !== "pod") throw notFound(`sandbox ${id}`);
      return {
        sandboxId: id,
        runtime: undefined,
        spec: undefined,
        labels: new Map(),
        createdAt: undefined,
        updatedAt: undefined,
        extensions: new Map(),
        sandboxer: "shim",
      };
    },
  };
  const joined = (): Partial<CreateTaskOptions> => ({
    sandboxId: "pod",
    taskApiAddress: `ttrpc+unix://${socket()}`,
    taskApiVersion: 3,
  });

  it("dials the sandbox's shim, starts none, and never shuts it down", async () => {
    server.register(TaskV3, fakeHandlers(3));
    writeShim("containerd-shim-fake-v1", "exit 1");
    await open({ sandboxes });
    await runtime.create(harness.ctx, "t", options(joined()));
    const bundle = join(harness.stateDir, harness.namespace, "t");
    expect(readFileSync(join(bundle, "sandbox"), "utf8")).toBe("pod");
    expect(JSON.parse(readFileSync(join(bundle, "bootstrap.json"), "utf8"))).toEqual({
      version: 3,
      address: `unix://${socket()}`,
      protocol: "ttrpc",
    });
    // After a restart of the daemon too.
    await runtime.close();
    await open({ sandboxes });
    expect((await runtime.get(harness.ctx, "t")).pid).toBe(77);
    await runtime.delete(harness.ctx, "t");
    expect(calls).toEqual(["create", "connect", "pids", "delete"].map((method) => `v3 true ${method} t`));
    expect(existsSync(join(harness.dir, "args"))).toBe(false);
  });

  it("starts a shim when the sandbox is not in the store or its API is older", async () => {
    server.register(TaskV2, fakeHandlers(2) as Handlers<typeof TaskV2>);
    writeShim("containerd-shim-fake-v1", `printf 'unix://${socket()}'`);
    await open({ sandboxes, timeouts: new Map([["io.containerd.timeout.shim.shutdown", 100]]) });
    for (const more of [
      { ...joined(), sandboxId: "elsewhere" },
      { ...joined(), taskApiVersion: 2 },
    ]) {
      await runtime.create(harness.ctx, "t", options(more));
      await runtime.delete(harness.ctx, "t");
    }
    expect(calls.filter((call) => call.includes("shutdown")).length).toBe(2);
  });

  it("names a malformed address", async () => {
    await open({ sandboxes });
    writeShim("containerd-shim-fake-v1", "exit 1");
    const bad = runtime.create(harness.ctx, "t", options({ ...joined(), taskApiAddress: `unix://${socket()}` }));
    expect(await failure(bad)).toMatch(/^invalid-argument: .*ttrpc\+unix/);
  });
});
