/** Statistics of real containers, asked of a real containerd and its shims. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ContainerConfig, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { Client } from "@ctrd/client";
import { connect } from "@ctrd/client";
import { unmount } from "@ctrd/sys";
import type { LeakCheck, TempDir, TestDaemon } from "@ctrd/testkit/fixtures";
import { busyboxImage, leakCheck, mustRun, startContainerd, tempDir, writeOciArchive } from "@ctrd/testkit/fixtures";
import { SnapshotUsages } from "../images/snapshot-usages.ts";
import { detectHostFeatures } from "../spec/host-features.ts";
import { removeCgroup } from "../../test/runc-pod.ts";
import { StatsCollector } from "./index.ts";
import type { StatsContainer, StatsPod } from "./index.ts";

const marker = `cri-stats-${process.pid}`;
const image = "example.com/stats:1";
/** A pair of interfaces, and one packet from the first to the second. */
const networkScript = `
ip link add eth0 type veth peer name peer0
ip address add 10.9.0.1/24 dev eth0
ip link set peer0 up
ip link set eth0 up
ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev eth0
printf '%1000s' > /dev/udp/10.9.0.2/9
`;
let dir: TempDir;
let check: LeakCheck;
let daemon: TestDaemon;
let client: Client;
let collector: StatsCollector;
let netnsPath: string;

beforeAll(async () => {
  dir = await tempDir();
  check = await leakCheck({ root: dir.path, markers: [marker] });
  daemon = await startContainerd();
  const archive = join(dir.path, "image.tar");
  await writeOciArchive(archive, [{ image: await busyboxImage(), containerdName: image }]);
  await ctr("images", "import", archive);
  client = await connect(daemon.address, { namespace: "k8s.io" });
  const { taskService, snapshotters } = client.services;
  const { cgroup2 } = await detectHostFeatures();
  collector = new StatsCollector(
    {
      tasks: taskService,
      layers: new SnapshotUsages(snapshotters, 10_000),
      layerPath: (snapshotter) => join(daemon.root, snapshotter),
      spec: async (_ctx, id) => (await client.loadContainer(id)).spec(),
      rootfs: (id) => join(daemon.state, "io.containerd.runtime.v2.task/k8s.io", id, "rootfs"),
    },
    { cgroup2, retentionMs: 60_000 },
  );
  netnsPath = join(dir.path, "netns");
  writeFileSync(netnsPath, "");
  await mustRun("unshare", [`--net=${netnsPath}`, "bash", "-e", "-c", networkScript]);
  // A busy one that has written a file, and one that was never started.
  await ctr(
    "run",
    "-d",
    "--cgroup",
    `/${marker}/busy`,
    "--memory-limit",
    String(64 << 20),
    image,
    "busy",
    "sh",
    "-c",
    "head -c 100000 /dev/zero > /file; while true; do :; done",
  );
  await ctr("containers", "create", image, "idle");
});
afterAll(async () => {
  await collector.close();
  await ctr("tasks", "kill", "-s", "KILL", "busy");
  await ctr("tasks", "delete", "--force", "busy");
  await client.close();
  await daemon[Symbol.asyncDispose]();
  unmount(netnsPath);
  removeCgroup(marker);
  await check.expectClean();
  await dir[Symbol.asyncDispose]();
});

async function ctr(...args: string[]): Promise<void> {
  const { exitCode, stderr } = await daemon.ctr(args, { namespace: "k8s.io" });
  expect({ args, exitCode, stderr: exitCode === 0 ? "" : stderr }).toMatchObject({ exitCode: 0 });
}

function container(id: string, isRunning: boolean): StatsContainer {
  const config = ContainerConfig.create({
    metadata: { name: id, attempt: 1 },
    labels: new Map([["l", id]]),
    image: { userSpecifiedImage: image },
  });
  return { id, config, snapshotter: "overlayfs", isRunning, startedAt: 5_000_000_000n };
}

function pod(parts: Partial<StatsPod> = {}): StatsPod {
  const config = PodSandboxConfig.create({ metadata: { name: "p", namespace: "ns", uid: "u", attempt: 0 } });
  const containers = [container("busy", true), container("idle", false)];
  return { id: "pod", config, isReady: true, netnsPath, containers, ...parts };
}

const number = expect.any(BigInt) as bigint;

test("a running container: what it uses, its rate at the second question, its writable layer", async () => {
  const ctx = client.context();
  const wanted = [container("busy", true), container("idle", false)];
  const [first] = await collector.containerStats(ctx, wanted);
  expect(first?.cpu?.usageNanoCores).toBeUndefined();
  await sleep(300);
  const [busy, idle] = await collector.containerStats(ctx, wanted);
  expect(busy).toMatchObject({
    attributes: { id: "busy", metadata: { name: "busy", attempt: 1 }, labels: new Map([["l", "busy"]]) },
    memory: { usageBytes: { value: number }, workingSetBytes: { value: number } },
    writableLayer: { fsId: { mountpoint: join(daemon.root, "overlayfs") } },
  });
  const used = (busy?.cpu?.usageCoreNanoSeconds?.value ?? 0n) - (first?.cpu?.usageCoreNanoSeconds?.value ?? 0n);
  expect(used).toBeGreaterThan(0n);
  const time = (busy?.cpu?.timestamp ?? 0n) - (first?.cpu?.timestamp ?? 0n);
  expect(busy?.cpu?.usageNanoCores?.value).toBe((used * 1_000_000_000n) / time);
  const { usageBytes, availableBytes } = busy?.memory ?? {};
  expect(Number(usageBytes?.value) + Number(availableBytes?.value)).toBeGreaterThanOrEqual(64 << 20);
  expect(Number(busy?.writableLayer?.usedBytes?.value)).toBeGreaterThanOrEqual(100_000);
  expect(Number(busy?.writableLayer?.timestamp) / 1e6).toBeGreaterThan(Date.now() - 60_000);
  expect(idle).toMatchObject({ attributes: { id: "idle" }, cpu: undefined, memory: undefined });
  expect(idle?.writableLayer?.usedBytes?.value).toBeLessThan(100_000n);
});

test("a pod: its cgroup, its network, its processes, its containers", async () => {
  const linux = { cgroupParent: `/${marker}` };
  const config = PodSandboxConfig.create({ metadata: { name: "p", namespace: "ns", uid: "u", attempt: 0 }, linux });
  const [stats] = await collector.podStats(client.context(), [pod({ config }), pod({ isReady: false })]);
  expect(stats?.attributes?.id).toBe("pod");
  expect(stats?.linux).toMatchObject({
    cpu: { usageCoreNanoSeconds: { value: number } },
    memory: { workingSetBytes: { value: number } },
    process: { processCount: { value: 1n } },
    network: { defaultInterface: { name: "eth0", rxErrors: { value: 0n }, txErrors: { value: 0n } } },
    containers: [{ attributes: { id: "busy" } }, { attributes: { id: "idle" } }],
  });
  const interfaces = new Map(stats?.linux?.network?.interfaces.map((each) => [each.name, each]));
  expect([...interfaces.keys()].toSorted()).toEqual(["eth0", "peer0"]);
  expect(interfaces.get("eth0")?.txBytes?.value).toBeGreaterThan(1000n);
  expect(interfaces.get("peer0")?.rxBytes?.value).toBeGreaterThan(1000n);
});

test("a pod without a cgroup: the sum of its containers; one whose network is gone has none", async () => {
  const gone = join(dir.path, "gone");
  const plain = join(dir.path, "plain");
  writeFileSync(plain, "");
  const pods = ["", gone, plain].map((path, index) => pod({ id: `pod${index}`, netnsPath: path }));
  const all = await collector.podStats(client.context(), pods);
  expect(all).toHaveLength(3);
  for (const { linux } of all) expect(linux?.cpu?.usageCoreNanoSeconds?.value).toBeGreaterThan(0n);
  expect(all.map(({ linux }) => linux?.network)).toMatchObject([undefined, { interfaces: [] }, { interfaces: [] }]);
});

test("metrics: described, of pods and of containers that run", async () => {
  const descriptors = new Map(collector.metricDescriptors().map(({ name, labelKeys }) => [name, labelKeys]));
  const [metrics] = await collector.podMetrics(client.context(), [pod(), pod({ isReady: false })]);
  expect(metrics?.podSandboxId).toBe("pod");
  expect(metrics?.containerMetrics.map(({ containerId }) => containerId)).toEqual(["busy"]);
  const all = [...(metrics?.metrics ?? []), ...(metrics?.containerMetrics[0]?.metrics ?? [])];
  for (const { name, labelValues } of all)
    expect([name, labelValues]).toEqual([name, descriptors.get(name)?.map(() => expect.any(String) as string)]);
  const valueOf = (name: string): bigint | undefined => all.find((metric) => metric.name === name)?.value?.value;
  expect(valueOf("container_network_transmit_bytes_total")).toBeGreaterThan(1000n);
  expect(valueOf("container_start_time_seconds")).toBe(5n);
  expect(valueOf("container_spec_memory_limit_bytes")).toBe(BigInt(64 << 20));
  expect(valueOf("container_fs_usage_bytes")).toBeGreaterThan(99_999n);
  expect(valueOf("container_fs_limit_bytes")).toBeGreaterThan(0n);
  expect(valueOf("container_file_descriptors")).toBeGreaterThan(2n);
  expect(valueOf("container_processes")).toBe(1n);
  const memory = all.find(({ name }) => name === "container_memory_usage_bytes");
  expect(memory?.labelValues).toEqual(["p", "ns", "busy", "busy", image]);
});

test("the network namespace of the daemon is as it was", () => {
  expect(readFileSync("/proc/thread-self/net/dev", "utf8")).not.toContain("peer0");
});
