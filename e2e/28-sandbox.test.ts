/**
 * Issue 5, items 3 and 4: sandboxes that shims run, by ctr's and by the API's own calls, for pods, and through proxies to
 * and from a real containerd; and handlers with another runtime.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import { kindOf } from "@ctrd/core/errors";
import type { Sandbox, SandboxController } from "@ctrd/core/sandboxes";
import { specTypeUrl } from "@ctrd/core/typeurl";
import type { RpcChannel } from "@ctrd/services";
import {
  openChannel,
  proxyEvents,
  proxySandboxController,
  proxySandboxes,
  serveSandboxController,
} from "@ctrd/services";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { startContainerd, startCtrd, tempDir } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, until } from "./support/command.ts";
import type { CriHarness } from "./support/cri.ts";
import { openCri } from "./support/cri.ts";
import { containerd2, ctr2, podsShim, requirePeers, runc2, shim2 } from "./support/peers.ts";

let dir: TempDir;
let cri: CriHarness;
let channel: RpcChannel;
let controller: SandboxController;
beforeAll(async () => {
  requirePeers([ctr2, containerd2, podsShim, shim2, runc2]);
  dir = await tempDir("sandbox-");
  const handlers = `[plugins."io.containerd.cri.v1.runtime".containerd.runtimes`;
  cri = await openCri(
    "sandbox",
    `${handlers}.runc]
${handlers}.pods]
runtime_type = "io.containerd.pods.v1"
runtime_path = "${podsShim}"
sandboxer = "shim"
disable_pause_image_pull = true
${handlers}.newer]
runtime_type = "io.containerd.runc.v2"
runtime_path = "${shim2}"
${handlers}.newer.options]
BinaryName = "${runc2}"
${handlers}.far]
runtime_type = "io.containerd.pods.v1"
runtime_path = "${podsShim}"
sandboxer = "far"
disable_pause_image_pull = true
[proxy_plugins.far]
type = "sandbox"
address = "${farSocket()}"
[timeouts]
"io.ctrd.timeout.shim.create" = "6s"
`,
  );
  channel = openChannel(cri.h.daemon.address);
  controller = proxySandboxController(channel, "shim");
});
afterAll(async () => {
  channel?.[Symbol.dispose]();
  try {
    await cri?.close();
  } finally {
    await dir?.[Symbol.asyncDispose]();
  }
});

const farSocket = (): string => join(dir.path, "far.sock");
const context = (seconds = 30): CallContext =>
  createContext({ namespace: cri.h.daemon.namespace, signal: AbortSignal.timeout(seconds * 1000) });

function record(sandboxId: string, runtime = podsShim): Sandbox {
  return {
    sandboxId,
    runtime: { name: runtime, options: undefined },
    ...{ spec: undefined, labels: new Map(), extensions: new Map() },
    ...{ createdAt: undefined, updatedAt: undefined, sandboxer: "shim" },
  };
}

/** A sandbox that runs, in the store too. @returns the pid of its process, and that of its shim */
async function started(id: string): Promise<{ pid: number; shim: number }> {
  await proxySandboxes(channel).create(context(), record(id));
  await controller.create(context(), record(id));
  const { pid } = await controller.start(context(), id);
  return { pid, shim: Number((await request(id))["shim"]) };
}

/** What the shim was told to make. */
async function request(id: string): Promise<Record<string, unknown>> {
  const { info } = await controller.status(context(), id, true);
  return JSON.parse(info.get("request") ?? "{}") as Record<string, unknown>;
}

async function removed(id: string): Promise<void> {
  await controller.shutdown(context(), id);
  await proxySandboxes(channel).delete(context(), id);
  expect(existsSync(bundle(id))).toBe(false);
}

const bundle = (id: string): string =>
  join(cri.h.daemon.state, "io.containerd.sandbox.controller.v1.shim", cri.h.daemon.namespace, id);
const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/ns`);

async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "resolved";
  } catch (error) {
    return `${kindOf(error)}: ${(error as Error).message}`;
  }
}

/** Notes the topics of the events that name a sandbox. */
async function follow(id: string, topics: string[], signal: AbortSignal): Promise<void> {
  try {
    for await (const { topic, event } of proxyEvents(channel).subscribe(createContext({ signal }), [
      "topic~=^/sandboxes/",
    ])) {
      if (Buffer.from(event?.value ?? "").includes(id)) topics.push(topic);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** ctr 2.x against a daemon. */
async function ctr(address: string, namespace: string, ...args: string[]): Promise<string> {
  const result = await run(ctr2, ["-a", address, "-n", namespace, ...args], {});
  if (result.code !== 0)
    throw new Error(`ctr ${args.join(" ")}: ${result.stderr}\n${cri.h.daemon.logs().slice(-1500)}`);
  return result.stdout;
}

describe("sandboxes of shims", () => {
  test("5: ctr runs one, a container joins its shim, and both go", async () => {
    const { daemon, image } = cri.h;
    await daemon.ctr(["images", "pull", "--plain-http", image]);
    const [id, container] = [daemon.id("box"), daemon.id("joins")];
    const spec = join(daemon.dir, "pod.json");
    writeFileSync(spec, JSON.stringify({ ociVersion: "1.0.2", annotations: { a: "b" } }));
    const own = (...args: string[]): Promise<string> => ctr(daemon.address, daemon.namespace, ...args);
    expect(await own("sandboxes", "run", "--runtime", podsShim, spec, id)).toBe(`${id}\n`);
    expect(await own("sandboxes", "ls")).toContain(id);
    expect(JSON.parse(await own("sandboxes", "info", id))).toMatchObject({ ID: id, Sandboxer: "shim" });
    expect(JSON.parse(readFileSync(join(bundle(id), "config.json"), "utf8"))).toMatchObject({
      annotations: { a: "b" },
    });
    await own("run", "-d", "--sandbox", id, "--runtime", podsShim, image, container, "sleep", "1000");
    const task = join(daemon.state, "io.containerd.runtime.v2.task", daemon.namespace, container);
    expect(readFileSync(join(task, "sandbox"), "utf8")).toBe(id);
    // One shim for both.
    expect(readFileSync(join(task, "bootstrap.json"), "utf8")).toBe(
      readFileSync(join(bundle(id), "bootstrap.json"), "utf8"),
    );
    expect(await own("tasks", "exec", "--exec-id", "e", container, "echo", "hi")).toBe("hi\n");
    await own("tasks", "rm", "-f", container);
    await own("containers", "rm", container);
    expect((await controller.status(context(), id, false)).state).toBe("SANDBOX_READY");
    await own("sandboxes", "rm", "--force", id);
    expect(await own("sandboxes", "ls")).not.toContain(id);
    expect(existsSync(bundle(id))).toBe(false);
  });

  test("5: the controller's calls, and the events", async () => {
    const id = cri.h.daemon.id("calls");
    const topics: string[] = [];
    const following = new AbortController();
    const ended = follow(id, topics, following.signal);
    try {
      const options = { typeUrl: "x/y", value: Buffer.from("z") };
      const made = { options, netnsPath: "/proc/self/ns/net", annotations: new Map([["k", "v"]]) };
      await controller.create(context(), record(id), made);
      expect(await failure(controller.create(context(), record(id)))).toMatch(/^already-exists: sandbox /);
      const { pid, address, version, createdAt } = await controller.start(context(), id);
      expect([isAlive(pid), version, address]).toEqual([true, 3, expect.stringMatching(/^ttrpc\+unix:\/\/\/run\//)]);
      expect(createdAt?.seconds).toBeGreaterThan(0n);
      expect(await controller.platform(context(), id)).toMatchObject({ os: "linux", variant: "pod" });
      expect(await controller.status(context(), id, false)).toMatchObject({
        pid,
        state: "SANDBOX_READY",
        address,
        version,
      });
      expect(await request(id)).toMatchObject({
        ...{ bundle: bundle(id), netns: "/proc/self/ns/net", annotations: { k: "v" }, options: "x/y", optionsSize: 1 },
      });
      const { data } = await controller.metrics(context(), id);
      expect(data?.typeUrl).toMatch(/UInt64Value$/);
      const waiting = controller.wait(context(), id);
      await controller.stop(context(), id, 5);
      expect(await waiting).toMatchObject({ exitStatus: 3 });
      expect(await controller.status(context(), id, false)).toMatchObject({ state: "SANDBOX_NOTREADY" });
      await controller.shutdown(context(), id);
      expect(existsSync(bundle(id))).toBe(false);
      await until("all events have come", () => topics.length >= 3);
      expect(topics).toEqual(["/sandboxes/create", "/sandboxes/start", "/sandboxes/exit"]);
    } finally {
      following.abort();
      await ended;
    }
  });

  test("5: unknown sandboxes and controllers", async () => {
    const id = cri.h.daemon.id("none");
    expect(await controller.status(context(), id, false)).toMatchObject({ state: "", exitedAt: expect.anything() });
    await controller.stop(context(), id, 1);
    for (const call of [
      () => controller.start(context(), id),
      () => controller.platform(context(), id),
      () => controller.wait(context(), id),
      () => controller.shutdown(context(), id),
      () => controller.metrics(context(), id),
      () => proxySandboxController(channel, "other").status(context(), id, false),
    ]) {
      expect(await failure(call())).toMatch(/^not-found: /);
    }
    expect(await failure(proxySandboxController(channel, "").stop(context(), id, 1))).toMatch(/^invalid-argument: /);
    expect(await failure(controller.create(context(), record("a b")))).toMatch(/^invalid-argument: /);
    expect(await failure(controller.create(context(), record(id, "io.containerd.none.v1")))).toMatch(
      /^not-found: .*containerd-shim-none-v1/,
    );
  });

  test("5: a sandbox that cannot be made or started leaves nothing, and its error says why", async () => {
    const id = cri.h.daemon.id("bad");
    const make = (annotation: string): Promise<void> =>
      controller.create(context(), record(id), { annotations: new Map([[annotation, "not today"]]) });
    const isGone = async (): Promise<void> => {
      expect(existsSync(bundle(id))).toBe(false);
      const command = `-namespace ${cri.h.daemon.namespace} -id ${id} `;
      await until("no shim is left", async () => !(await run("ps", ["-eo", "args"], {})).stdout.includes(command));
    };
    expect(await failure(make("test/fail-create"))).toMatch(/^failed-precondition: .*not today/);
    await isGone();
    await make("test/fail-start");
    expect(await failure(controller.start(context(), id))).toMatch(/^failed-precondition: .*not today/);
    await isGone();
    expect(await failure(make("test/hang-create"))).toContain(
      `shim ${podsShim} did not answer in the stage "CreateSandbox" for 6 s`,
    );
    await isGone();
    const spec = { typeUrl: specTypeUrl, value: Buffer.from("{}") };
    expect(await failure(controller.create(context(), { ...record(id, shim2), spec }))).toMatch(
      /^not-implemented: shim .* does not serve the sandbox API; name one that does/,
    );
    await isGone();
  });

  test("5: sandboxes outlive the daemon; those that nobody knows any more are ended", async () => {
    const [kept, forgotten] = [cri.h.daemon.id("kept"), cri.h.daemon.id("forgotten")];
    const [before, lost] = [await started(kept), await started(forgotten)];
    await proxySandboxes(channel).delete(context(), forgotten);
    await cri.h.daemon.kill9();
    await cri.h.daemon.restart();
    expect(await controller.status(context(), kept, false)).toMatchObject({ pid: before.pid, state: "SANDBOX_READY" });
    expect((await request(kept))["shim"]).toBe(before.shim);
    expect([isAlive(lost.pid), existsSync(bundle(forgotten))]).toEqual([false, false]);
    // Shut down without a stop, it has ended all the same for who waits.
    const waiting = controller.wait(context(), kept);
    await controller.status(context(), kept, false);
    await removed(kept);
    expect([isAlive(before.pid), (await waiting).exitStatus]).toEqual([false, 137]);
  });

  test("5: a shim that is killed ends its sandbox", async () => {
    const id = cri.h.daemon.id("lost");
    const { pid, shim } = await started(id);
    const waiting = controller.wait(context(), id);
    // Answered after that has begun.
    await controller.status(context(), id, false);
    process.kill(shim, "SIGKILL");
    expect(await waiting).toMatchObject({ exitStatus: 137 });
    await until("its process has ended", () => !isAlive(pid));
    expect(existsSync(bundle(id))).toBe(false);
    expect(await controller.status(context(), id, false)).toMatchObject({ state: "" });
    await proxySandboxes(channel).delete(context(), id);
  });
});

describe("pods", () => {
  test("5: one in a sandbox of its shim: its containers share what it holds, through a restart of the daemon", async () => {
    const pod = await cri.runPod("shared", {}, "pods");
    const { status } = await cri.runtime.podSandboxStatus(cri.ctx, { podSandboxId: pod, verbose: false });
    expect([status?.runtimeHandler, status?.network?.ip]).toEqual(["pods", expect.stringMatching(/^10\.88\./)]);
    const one = await cri.start(pod, "one", "sleep 1000");
    const two = await cri.start(pod, "two", "sleep 1000");
    const namespaces = async (id: string): Promise<string> =>
      (await cri.exec(id, "sh", "-c", "for n in ipc net uts; do readlink /proc/self/ns/$n; done")).text;
    const of = await namespaces(one);
    expect(of).toMatch(/^ipc:.*\nnet:.*\nuts:/);
    expect(await namespaces(two)).toBe(of);
    expect((await cri.exec(one, "ip", "addr", "show", "eth0")).text).toContain(status?.network?.ip);
    const own = proxySandboxController(channel, "shim");
    const k8s = createContext({ namespace: "k8s.io", signal: AbortSignal.timeout(30_000) });
    const { info } = await own.status(k8s, pod, true);
    expect(JSON.parse(info.get("request") ?? "")).toMatchObject({ options: "runtime.v1.PodSandboxConfig" });
    await cri.h.daemon.kill9();
    await cri.h.daemon.restart();
    expect(await namespaces(one)).toBe(of);
    const three = await cri.start(pod, "three", "sleep 1000");
    expect(await namespaces(three)).toBe(of);
    await cri.runtime.stopPodSandbox(cri.ctx, { podSandboxId: pod });
    const after = await cri.runtime.podSandboxStatus(cri.ctx, { podSandboxId: pod, verbose: false });
    expect(after.status?.state).toBe(1);
    expect(await cri.removePods()).toEqual([]);
  });

  test("5: a pod whose sandbox ends is not ready", async () => {
    const pod = await cri.runPod("ended", {}, "pods");
    const { pid } = await controller.status({ ...context(), namespace: "k8s.io" }, pod, false);
    process.kill(pid, "SIGKILL");
    await until("the pod is not ready", async () => {
      const { status } = await cri.runtime.podSandboxStatus(cri.ctx, { podSandboxId: pod, verbose: false });
      return status?.state === 1;
    });
    expect(await cri.removePods()).toEqual([]);
  });

  test("5: a handler with another shim and another runc (BinaryName)", async () => {
    const pod = await cri.runPod("newer", {}, "newer");
    const container = await cri.start(pod, "c", "sleep 1000");
    const task = join(cri.h.daemon.state, "io.containerd.runtime.v2.task/k8s.io", container);
    expect(readFileSync(join(task, "runtime"), "utf8")).toBe(runc2);
    expect(readFileSync(join(task, "shim-binary-path"), "utf8")).toBe(shim2);
    expect((await cri.exec(container, "echo", "hi")).text).toBe("hi\n");
    const other = await cri.runPod("usual");
    const usual = await cri.start(other, "c", "sleep 1000");
    const file = join(cri.h.daemon.state, "io.containerd.runtime.v2.task/k8s.io", usual, "runtime");
    expect(existsSync(file) ? readFileSync(file, "utf8") : "").not.toContain(runc2);
    expect(await failure(cri.runPod("none", {}, "nope"))).toContain('no runtime for "nope" is configured');
    expect(await cri.removePods()).toEqual([]);
  });
});

describe("proxies", () => {
  /** Serves the controller `shim` of a daemon alone, under whatever name it is asked for. */
  async function withRelay(address: string, path: string, body: () => Promise<void>): Promise<void> {
    const far = openChannel(address);
    const served = await serveSandboxController(path, proxySandboxController(far, "shim"));
    try {
      await body();
    } finally {
      await served.stop();
      far[Symbol.dispose]();
    }
  }

  /** Runs a sandbox at a daemon by its controller `far`. */
  async function runByProxy(address: string, farState: string): Promise<void> {
    const near = openChannel(address);
    try {
      const far = proxySandboxController(near, "far");
      const ctx = context();
      const id = cri.h.daemon.id("proxied");
      const path = join(farState, "io.containerd.sandbox.controller.v1.shim", ctx.namespace, id);
      await far.create(ctx, record(id), { annotations: new Map([["by", "proxy"]]) });
      // containerd's service tells neither address nor version.
      const { pid } = await far.start(ctx, id);
      expect([isAlive(pid), existsSync(join(path, "bootstrap.json"))]).toEqual([true, true]);
      const { info } = await far.status(ctx, id, true);
      expect(JSON.parse(info.get("request") ?? "")).toMatchObject({ bundle: path, annotations: { by: "proxy" } });
      const waiting = far.wait(ctx, id);
      await far.stop(ctx, id, 5);
      expect(await waiting).toMatchObject({ exitStatus: 3 });
      await far.shutdown(ctx, id);
      expect(existsSync(path)).toBe(false);
    } finally {
      near[Symbol.dispose]();
    }
  }

  test("5: a real containerd uses our controller, which we serve", async () => {
    const path = join(dir.path, "ours.sock");
    const extraConfig = `[proxy_plugins.far]\ntype = "sandbox"\naddress = "${path}"\n`;
    await withRelay(cri.h.daemon.address, path, async () => {
      await using near = await startContainerd({ program: containerd2, extraConfig });
      await runByProxy(near.address, cri.h.daemon.state);
    });
  });

  /** Waits until the daemon has found what was not there before. */
  const connected = (): Promise<unknown> =>
    until(
      "the proxy is connected",
      async () => {
        const call = proxySandboxController(channel, "far").status(context(), "none", false);
        return (await failure(call)) === "resolved";
      },
      30_000,
    );

  test("5: we use the controller of a real containerd", async () => {
    await using real = await startContainerd({ program: containerd2 });
    await withRelay(real.address, farSocket(), async () => {
      await connected();
      await runByProxy(cri.h.daemon.address, real.state);
    });
  });

  test("5: a pod in the sandbox of another daemon's shim, which serves its containers' tasks", async () => {
    await using other = await startCtrd();
    await withRelay(other.address, farSocket(), async () => {
      await connected();
      const pod = await cri.runPod("far", {}, "far");
      const container = await cri.start(pod, "c", "sleep 1000");
      expect((await cri.exec(container, "echo", "hi")).text).toBe("hi\n");
      const task = join(cri.h.daemon.state, "io.containerd.runtime.v2.task/k8s.io", container);
      const sandbox = join(other.state, "io.containerd.sandbox.controller.v1.shim/k8s.io", pod);
      const endpoint = (bundlePath: string): string => readFileSync(join(bundlePath, "bootstrap.json"), "utf8");
      expect(endpoint(task)).toBe(endpoint(sandbox));
      expect(await cri.removePods()).toEqual([]);
      expect(existsSync(sandbox)).toBe(false);
    });
  });
});
