import { Container, LinuxResources, PodSandbox } from "@ctrd/api/nri/v1alpha1/api";
import type { ContainerUpdate } from "@ctrd/api/nri/v1alpha1/api";
import { createContext } from "@ctrd/core/context";
import type { NodeRuntime } from "@ctrd/services";
import { tempDir } from "@ctrd/testkit/fixtures";
import { copyFile, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import { expect } from "vitest";
import { parseCalls, pluginPath, pluginTest, startPlugin } from "../test/go-plugin.ts";
import type { NriOptions } from "./index.ts";
import { NriNodeResources } from "./index.ts";
import { silentLogger } from "@ctrd/core/log";

const ctx = createContext({ namespace: "k8s.io" });
const pod = PodSandbox.create({ id: "p1", name: "pod", uid: "u", namespace: "ns", labels: new Map([["a", "b"]]) });
const container = Container.create({
  id: "c1",
  podSandboxId: "p1",
  name: "web",
  env: ["A=1", "B=2"],
  args: ["serve"],
  linux: { resources: { cpu: { shares: { value: 512n } } } },
});

class FakeRuntime implements NodeRuntime {
  readonly name = "ctrd";
  readonly version = "1";
  readonly updates: ContainerUpdate[] = [];
  pods: PodSandbox[] = [pod];
  containers: Container[] = [container];

  async list() {
    return { pods: this.pods, containers: this.containers };
  }

  async update(updates: readonly ContainerUpdate[]) {
    this.updates.push(...updates);
    return updates.filter(({ containerId }) => containerId === "gone");
  }

  async evict() {}
}

async function open(configs: Record<string, object> = {}, more: Partial<NriOptions> = {}) {
  const directory = await tempDir("nri-");
  const paths = { pluginPath: join(directory.path, "plugins"), configPath: join(directory.path, "conf") };
  await Promise.all(Object.values(paths).map((path) => mkdir(path)));
  for (const [file, config] of Object.entries(configs)) {
    await writeFile(join(paths.configPath, file), JSON.stringify(config));
  }
  const options = { registrationTimeoutMs: 5_000, requestTimeoutMs: 5_000, disableConnections: false };
  const socketPath = join(directory.path, "nri.sock");
  const nri = new NriNodeResources({ ...options, ...paths, socketPath, log: silentLogger, ...more });
  const runtime = new FakeRuntime();
  return {
    nri,
    runtime,
    socketPath,
    ...paths,
    async [Symbol.asyncDispose]() {
      await nri.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Resolves once as many plugins are asked. */
async function connected(nri: NriNodeResources, name: string, calls: () => { call: string }[]): Promise<void> {
  await expect
    .poll(
      async () => {
        await nri.pod(ctx, "runPodSandbox", pod);
        return calls().some(({ call }) => call === "RunPodSandbox");
      },
      { timeout: 20_000, message: name },
    )
    .toBe(true);
}

pluginTest("a plugin is configured, told what exists, and then of all that happens", async () => {
  await using setup = await open();
  const { nri, runtime, socketPath } = setup;
  await nri.start(runtime);
  expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
  expect(nri.isWatched).toBe(false);
  await using plugin = startPlugin(socketPath, "10", "watcher");
  expect(await plugin.until("Configure")).toMatchObject({ runtime: "ctrd", version: "1", config: "" });
  expect(await plugin.until("Synchronize")).toMatchObject({ pods: 1, containers: 1 });
  await connected(nri, "watcher", plugin.calls);
  expect(nri.isWatched).toBe(true);
  expect(await nri.createContainer(ctx, pod, container)).toMatchObject({ update: [], evict: [] });
  for (const step of ["postCreateContainer", "startContainer", "postStartContainer"] as const) {
    await nri.container(ctx, step, pod, container);
  }
  await nri.updateContainer(ctx, pod, container, LinuxResources.create({ pids: { limit: 9n } }));
  await nri.stopContainer(ctx, pod, container);
  await nri.container(ctx, "removeContainer", pod, container);
  await nri.pod(ctx, "stopPodSandbox", pod);
  await nri.pod(ctx, "removePodSandbox", pod);
  const seen = plugin.calls().filter(({ call }) => call !== "RunPodSandbox");
  expect(seen.map(({ call }) => call)).toEqual([
    "Configure",
    "Synchronize",
    "CreateContainer",
    "Validate",
    "PostCreateContainer",
    "StartContainer",
    "PostStartContainer",
    "UpdateContainer",
    "StopContainer",
    "RemoveContainer",
    "StopPodSandbox",
    "RemovePodSandbox",
  ]);
  expect(seen[2]).toMatchObject({
    pod: { id: "p1", labels: { a: "b" } },
    container: { id: "c1", env: ["A=1", "B=2"] },
  });
  expect(seen[7]).toMatchObject({ resources: { pids: { limit: 9 } } });
});

pluginTest(
  "plugins adjust one after the other, each seeing what those before it did; a validator sees all",
  async () => {
    await using setup = await open({
      "10-first.conf": {
        events: "CreateContainer,RunPodSandbox",
        adjust: {
          env: [{ key: "C", value: "3" }, { key: "-A" }],
          annotations: { note: "x" },
          mounts: [{ destination: "/data", type: "bind", source: "/srv", options: ["ro"] }],
          linux: { resources: { cpu: { shares: { value: 100 } }, memory: { limit: { value: 1000 } } } },
        },
        update: [{ container_id: "c2", linux: { resources: { pids: { limit: 5 } } } }],
      },
      "second.conf": {
        events: "CreateContainer,RunPodSandbox,ValidateContainerAdjustment",
        adjust: { env: [{ key: "D", value: "4" }], args: ["", "other"], linux: { oom_score_adj: { value: 7 } } },
        update: [{ container_id: "c2", linux: { resources: { cpu: { cpus: "0-1" } } }, ignore_failure: true }],
      },
    });
    const { nri, runtime, socketPath } = setup;
    await nri.start(runtime);
    await using second = startPlugin(socketPath, "20", "second");
    await connected(nri, "second", second.calls);
    await using first = startPlugin(socketPath, "10", "first");
    await connected(nri, "first", first.calls);
    const { adjust, update } = await nri.createContainer(ctx, pod, container);
    expect(adjust.env).toEqual([
      { key: "-A", value: "" },
      { key: "C", value: "3" },
      { key: "D", value: "4" },
    ]);
    expect([...adjust.annotations]).toEqual([["note", "x"]]);
    expect(adjust.args).toEqual(["other"]);
    expect(adjust.mounts).toEqual([{ destination: "/data", type: "bind", source: "/srv", options: ["ro"] }]);
    expect(adjust.linux?.resources).toMatchObject({
      cpu: { shares: { value: 100n } },
      memory: { limit: { value: 1000n } },
    });
    expect(adjust.linux?.oomScoreAdj).toEqual({ value: 7n });
    expect(update).toMatchObject([
      { containerId: "c2", ignoreFailure: false, linux: { resources: { pids: { limit: 5n }, cpu: { cpus: "0-1" } } } },
    ]);
    expect(await second.until("CreateContainer")).toMatchObject({
      container: {
        env: ["B=2", "C=3"],
        annotations: { note: "x" },
        linux: { resources: { cpu: { shares: { value: 100 } } } },
      },
    });
    expect(await second.until("Validate")).toMatchObject({
      plugins: [
        { name: "first", index: "10" },
        { name: "second", index: "20" },
      ],
      owners: {
        owners: { c1: { simple: { 7: "20-second", 8: "10-first" }, compound: { 6: { owners: { D: "20-second" } } } } },
      },
    });
  },
);

pluginTest("two plugins that set the same thing are a conflict; one that says no fails the step", async () => {
  const env = { events: "CreateContainer,RunPodSandbox", adjust: { env: [{ key: "A", value: "x" }] } };
  await using setup = await open({
    "a.conf": env,
    "b.conf": env,
    "c.conf": { events: "CreateContainer,RunPodSandbox", fail: "not here" },
    "d.conf": { events: "ValidateContainerAdjustment,RunPodSandbox", reject: "forbidden" },
  });
  const { nri, runtime, socketPath } = setup;
  await nri.start(runtime);
  const withPlugins = async (names: string[], message: string): Promise<void> => {
    const plugins = names.map((name, index) => startPlugin(socketPath, `0${index}`, name));
    for (const [index, plugin] of plugins.entries()) {
      if (names[index] === "c") await plugin.until("Synchronize");
      else await connected(nri, names[index] as string, plugin.calls);
    }
    await expect.poll(() => nri.isWatched, { timeout: 20_000 }).toBe(true);
    await expect(nri.createContainer(ctx, pod, container)).rejects.toThrow(message);
    for (const plugin of plugins) await plugin[Symbol.asyncDispose]();
    await expect.poll(() => nri.isWatched, { timeout: 20_000 }).toBe(false);
  };
  await withPlugins(["a", "b"], 'NRI plugins "00-a" and "01-b" both set Env "A" of container "c1"');
  await withPlugins(["c"], 'NRI plugin "00-c" fails createContainer: not here');
  await withPlugins(["d"], 'NRI validator "00-d" rejects container "c1": forbidden');
});

pluginTest("a plugin that does not answer in time, or is killed, is left behind", async () => {
  const slow = { events: "StopPodSandbox,RunPodSandbox", delay_ms: 60_000 };
  await using setup = await open({ "slow.conf": { ...slow, events: "StopPodSandbox" } }, { requestTimeoutMs: 300 });
  const { nri, runtime, socketPath } = setup;
  await nri.start(runtime);
  await using plugin = startPlugin(socketPath, "10", "slow");
  await expect.poll(() => nri.isWatched, { timeout: 20_000 }).toBe(true);
  await nri.pod(ctx, "stopPodSandbox", pod);
  expect(plugin.calls().at(-1)?.call).toBe("StopPodSandbox");
  await expect.poll(() => nri.isWatched, { timeout: 20_000 }).toBe(false);
  await using killed = startPlugin(socketPath, "11", "killed");
  await connected(nri, "killed", killed.calls);
  killed.kill();
  await nri.pod(ctx, "stopPodSandbox", pod);
  await expect.poll(() => nri.isWatched, { timeout: 20_000 }).toBe(false);
});

pluginTest("a plugin updates containers on its own, and learns which failed", async () => {
  const unsolicited = ["c1", "gone"].map((id) => ({
    container_id: id,
    linux: { resources: { memory: { limit: { value: 1_048_576 } } } },
  }));
  await using setup = await open({ "10-own.conf": { events: "RunPodSandbox", unsolicited } });
  const { nri, runtime, socketPath } = setup;
  await nri.start(runtime);
  await using plugin = startPlugin(socketPath, "10", "own");
  await connected(nri, "own", plugin.calls);
  const answer = await plugin.until("Unsolicited");
  expect(answer, JSON.stringify(answer)).toMatchObject({ failed: [{ container_id: "gone" }], error: "<nil>" });
  expect(runtime.updates.map(({ containerId }) => containerId)).toEqual(["c1", "gone"]);
  expect(runtime.updates[0]?.linux?.resources?.memory?.limit).toEqual({ value: 1_048_576n });
});

pluginTest("plugins of the directory are started, with their configuration, and stopped", async () => {
  await using setup = await open({ "05-own.conf": { events: "RunPodSandbox" } }, { disableConnections: true });
  const { nri, runtime, pluginPath: directory, socketPath } = setup;
  const program = join(directory, "05-own");
  await copyFile(pluginPath, program);
  await writeFile(join(directory, "06-broken"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  await writeFile(join(directory, "README"), "");
  await nri.start(runtime);
  expect(nri.isWatched).toBe(true);
  await nri.pod(ctx, "runPodSandbox", pod);
  await nri.pod(ctx, "stopPodSandbox", pod);
  const calls = parseCalls(await readFile(`${program}.log`, "utf8"));
  expect(calls.map(({ call }) => call)).toEqual(["Configure", "Synchronize", "RunPodSandbox"]);
  await expect(stat(socketPath)).rejects.toThrow("ENOENT");
});

pluginTest("messages of any size arrive", async () => {
  await using setup = await open({ "sized.conf": { events: "StopContainer" } });
  const { nri, runtime, socketPath } = setup;
  await nri.start(runtime);
  await using plugin = startPlugin(socketPath, "10", "sized");
  await expect.poll(() => nri.isWatched, { timeout: 20_000 }).toBe(true);
  const sizes = [1, 3_000, 4_000, 4_050, 4_096, 5_000, 8_192, 20_000, 1_000_000];
  for (const size of sizes) {
    await nri.stopContainer(ctx, pod, Container.create({ id: "c", args: ["x".repeat(size)] }));
  }
  // At the same time, so that they are written while others wait.
  const many = sizes.map((size) => nri.stopContainer(ctx, pod, Container.create({ args: ["y".repeat(size)] })));
  await Promise.all(many);
  const seen = plugin.calls().flatMap(({ call, container: one }) => {
    return call === "StopContainer" ? [((one as { args: string[] }).args[0] ?? "").length] : [];
  });
  expect(seen.slice(0, sizes.length)).toEqual(sizes);
  expect(seen.slice(sizes.length).toSorted((a, b) => a - b)).toEqual(sizes);
});

pluginTest("what exists is told in parts when it is more than one message holds", async () => {
  await using setup = await open({ "big.conf": { events: "RunPodSandbox" } });
  const { nri, runtime, socketPath } = setup;
  const long = "x".repeat(1_000);
  runtime.containers = Array.from({ length: 5_000 }, (_, index) => Container.create({ id: `c${index}`, args: [long] }));
  await nri.start(runtime);
  await using plugin = startPlugin(socketPath, "10", "big");
  expect(await plugin.until("Synchronize")).toMatchObject({ pods: 1, containers: 5_000 });
});

pluginTest("connections that are no plugin's are closed and harm nobody", async () => {
  await using setup = await open({}, { registrationTimeoutMs: 100 });
  const { nri, runtime, socketPath } = setup;
  await nri.start(runtime);
  for (const bytes of ["", "nonsense and more of it", "\0\0\0\x01\0\0\0\x04abcd", "\0\0\0\x02\xff\xff\xff\xff"]) {
    const socket = connect(socketPath);
    socket.on("error", () => {});
    socket.write(Buffer.from(bytes, "latin1"));
    await once(socket.resume(), "close");
  }
  await using plugin = startPlugin(socketPath, "10", "good");
  await connected(nri, "good", plugin.calls);
});
