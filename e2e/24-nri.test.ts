/** Issue 5, item 8: plugins on NRI's own library see and adjust the containers of pods. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CriHarness } from "./support/cri.ts";
import { openCri } from "./support/cri.ts";
import type { NriPlugin } from "./support/nri.ts";
import { startNriPlugin } from "./support/nri.ts";
import { nriPlugin, requirePeers } from "./support/peers.ts";

const own = mkdtempSync(join(tmpdir(), "ctrd-nri-"));
const socket = join(own, "nri.sock");
let cri: CriHarness;
let plugin: NriPlugin;

beforeAll(async () => {
  requirePeers([nriPlugin]);
  mkdirSync(join(own, "conf"));
  const adjust = {
    env: [{ key: "FROM_PLUGIN", value: "yes" }, { key: "-PATH_TO_NOWHERE" }],
    annotations: { "nri.test/seen": "1" },
    mounts: [{ destination: "/from-plugin", type: "bind", source: join(own, "conf"), options: ["rbind", "ro"] }],
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 77, hard: 99 }],
    linux: {
      resources: { pids: { limit: 123 } },
      devices: [{ path: "/dev/from-plugin", type: "c", major: 1, minor: 3, file_mode: { value: 438 } }],
      sysctl: { "kernel.shm_rmid_forced": "1" },
    },
  };
  writeFileSync(join(own, "conf/adjuster.conf"), JSON.stringify({ adjust }));
  const table = `[plugins."io.containerd.nri.v1.nri"]
socket_path = "${socket}"
plugin_path = "${own}/plugins"
plugin_config_path = "${own}/conf"
`;
  cri = await openCri("nri", table);
  plugin = startNriPlugin(socket, "10", "adjuster");
  await plugin.until("Synchronize");
});

afterAll(async () => {
  await plugin?.stop();
  await cri?.close();
  rmSync(own, { recursive: true, force: true });
});

test("a container is what the plugin makes of it", async () => {
  const pod = await cri.runPod("adjusted");
  const id = await cri.start(pod, "c", "sleep 1000", {
    envs: [{ key: "PATH_TO_NOWHERE", value: Buffer.from("x") }],
    linux: { securityContext: { privileged: false } },
  });
  const { text } = await cri.exec(
    id,
    "sh",
    "-c",
    "echo $FROM_PLUGIN,$PATH_TO_NOWHERE; ls /from-plugin; ulimit -n; cat /proc/sys/kernel/shm_rmid_forced; echo x >/dev/from-plugin && echo written",
  );
  expect(text.split("\n")).toEqual(["yes,", "adjuster.conf", "77", "1", "written", ""]);
  const { info } = await cri.runtime.containerStatus(cri.ctx, { containerId: id, verbose: true });
  expect(info.get("info")).toContain('"nri.test/seen"');
  await cri.runtime.updateContainerResources(cri.ctx, {
    containerId: id,
    linux: { ...zeroResources, memoryLimitInBytes: 64n << 20n },
    windows: undefined,
    annotations: new Map(),
  });
  const resources = { ...zeroResources, cpuShares: 512n };
  await cri.runtime.updatePodSandboxResources(cri.ctx, { podSandboxId: pod, overhead: undefined, resources });
  await cri.runtime.stopContainer(cri.ctx, { containerId: id, timeout: 0n });
  await plugin.until("StopContainer");
  await cri.runtime.removeContainer(cri.ctx, { containerId: id });
  await cri.runtime.stopPodSandbox(cri.ctx, { podSandboxId: pod });
  await cri.runtime.removePodSandbox(cri.ctx, { podSandboxId: pod });
  const calls = plugin.calls();
  expect(calls.map(({ call }) => call)).toEqual([
    "Configure",
    "Synchronize",
    "RunPodSandbox",
    "CreateContainer",
    "Validate",
    "PostCreateContainer",
    "StartContainer",
    "PostStartContainer",
    "UpdateContainer",
    "UpdatePodSandbox",
    "PostUpdatePodSandbox",
    "StopContainer",
    "RemoveContainer",
    "StopPodSandbox",
    "RemovePodSandbox",
  ]);
  expect(calls[2]).toMatchObject({ pod: { name: "adjusted", namespace: "e2e", uid: "uid-adjusted" } });
  expect(calls[3]).toMatchObject({ pod: { id: pod }, container: { id, name: "c", args: ["sh", "-c", "sleep 1000"] } });
  expect(calls[8]).toMatchObject({ resources: { memory: { limit: { value: 64 << 20 } } } });
  expect(calls[9]).toMatchObject({ pod: { id: pod }, resources: { cpu: { shares: { value: 512 } } } });
});

const zeroResources = {
  cpuPeriod: 0n,
  cpuQuota: 0n,
  cpuShares: 0n,
  memoryLimitInBytes: 0n,
  oomScoreAdj: 0n,
  cpusetCpus: "",
  cpusetMems: "",
  hugepageLimits: [],
  unified: new Map<string, string>(),
  memorySwapLimitInBytes: 0n,
};

test("a plugin that says no keeps a container from being made; without it, it is made", async () => {
  writeFileSync(
    join(own, "conf/refuser.conf"),
    JSON.stringify({ events: "CreateContainer", fail: "not on this node" }),
  );
  const refuser = startNriPlugin(socket, "20", "refuser");
  const pod = await cri.runPod("refused");
  await refuser.until("Synchronize");
  await expect
    .poll(async () => cri.create(pod, "c", "true").catch((error: unknown) => String(error)), { timeout: 20_000 })
    .toContain('NRI plugin "20-refuser" fails createContainer: not on this node');
  await refuser.stop();
  await expect
    .poll(async () => cri.create(pod, "c", "true").catch((error: unknown) => String(error)), { timeout: 20_000 })
    .toMatch(/^[0-9a-f]{64}$/);
});

test("a plugin that comes later is told what runs, and changes it on its own", async () => {
  const pod = await cri.runPod("later");
  const id = await cri.start(pod, "c", "sleep 1000");
  const unsolicited = [{ container_id: id, linux: { resources: { memory: { limit: { value: 33_554_432 } } } } }];
  writeFileSync(join(own, "conf/later.conf"), JSON.stringify({ events: "RunPodSandbox", unsolicited }));
  const later = startNriPlugin(socket, "30", "later");
  expect(await later.until("Synchronize")).toMatchObject({ pods: expect.any(Number), containers: expect.any(Number) });
  expect(await later.until("Unsolicited")).toMatchObject({ error: "<nil>" });
  const limit = await cri.exec(
    id,
    "sh",
    "-c",
    "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
  );
  expect(limit.text.trim()).toBe("33554432");
  await later.stop();
});
