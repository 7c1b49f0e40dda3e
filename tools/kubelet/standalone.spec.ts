/**
 * Issue 5, Shows 5: a real kubelet, in standalone mode, runs static pods on ctrd. `npm run test:kubelet`, after
 * `tools/setup-host.sh kubelet`.
 */
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildImage, busyboxEntries, pushImage } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../../e2e/support/command.ts";
import type { CriHarness } from "../../e2e/support/cri.ts";
import { openCri, pauseImage } from "../../e2e/support/cri.ts";
import { Kubelet } from "./kubelet.ts";
import type { PodState } from "./kubelet.ts";

let cri: CriHarness;
let kubelet: Kubelet;
beforeAll(async () => {
  cri = await openCri("kubelet");
  const dir = mkdtempSync(join(tmpdir(), "ctrd-kubelet-"));
  kubelet = new Kubelet(dir, `unix://${cri.h.daemon.address}`, `ctrd-kubelet-${process.pid}`);
  await kubelet.start();
});
afterAll(async () => {
  await kubelet?.stop();
  await cri?.close();
  await kubelet?.close();
});

/** A container that runs a script of the shell. */
function shell(script: string, more: object = {}): object {
  return { name: "main", image: cri.h.image, command: ["sh", "-c", script], ...more };
}

/** A probe that looks for a file. */
function fileProbe(path: string): object {
  return { exec: { command: ["cat", path] }, periodSeconds: 1, failureThreshold: 1 };
}

function isReady({ status }: PodState): boolean {
  return status.conditions?.find(({ type }) => type === "Ready")?.status === "True";
}

/** Id of the container of a pod. */
function idOf({ status }: PodState): string {
  return status.containerStatuses?.[0]?.containerID.replace("containerd://", "") ?? "";
}

function restarts({ status }: PodState): number {
  return status.containerStatuses?.[0]?.restartCount ?? 0;
}

async function inside(id: string, script: string): Promise<string> {
  return cri.crictl("exec", id, "sh", "-c", script);
}

test("5: a static pod runs, with its volumes, its settings, its log, its address and its numbers", async () => {
  kubelet.want("full", {
    initContainers: [{ ...shell("echo prepared >/data/file"), name: "first", volumeMounts: [mount("data", "/data")] }],
    containers: [
      shell("echo hello from $NAME; echo wrong >&2; exec sleep 100000", {
        env: [{ name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
        resources: { limits: { memory: "64Mi", cpu: "500m" } },
        securityContext: { runAsUser: 1000, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
        volumeMounts: [mount("data", "/data"), mount("memory", "/memory")],
      }),
    ],
    volumes: [
      { name: "data", emptyDir: {} },
      { name: "memory", emptyDir: { medium: "Memory" } },
    ],
  });
  const pod = await kubelet.whenPod("full", "is ready", isReady);
  expect(pod.status).toMatchObject({ phase: "Running", podIP: expect.stringMatching(/^10\.88\./) });
  const id = idOf(pod);
  expect(await inside(id, "id -u; cat /data/file; grep -c ' /memory tmpfs' /proc/mounts")).toBe("1000\nprepared\n1");
  const cgroup = readFileSync(`/proc/${await pidOf(id)}/cgroup`, "utf8");
  expect(cgroup).toMatch(new RegExp(`memory:/ctrd-kubelet-${process.pid}/kubepods/burstable/pod[^/]+/${id}`));
  const [directory = ""] = readdirSync(kubelet.logs).filter((name) => name.startsWith("default_full-node_"));
  const log = readFileSync(join(kubelet.logs, directory, "main/0.log"), "utf8");
  expect(log).toMatch(/ stdout F hello from full-node$/m);
  expect(log).toMatch(/ stderr F wrong$/m);
  expect(await kubelet.ask("/containerLogs/default/full-node/main")).toContain("hello from full-node");
  await until(
    "numbers of the pod",
    async () => {
      const { pods } = JSON.parse(await kubelet.ask("/stats/summary")) as { pods: { podRef: { name: string } }[] };
      return JSON.stringify(pods.find(({ podRef }) => podRef.name === "full-node")).includes('"workingSetBytes":');
    },
    30_000,
  );
});

function mount(name: string, mountPath: string): object {
  return { name, mountPath };
}

async function pidOf(id: string): Promise<number> {
  return (JSON.parse(await cri.crictl("inspect", id)) as { info: { pid: number } }).info.pid;
}

test("5: a container that is killed is started again", async () => {
  kubelet.want("killed", { containers: [shell("exec sleep 100000")] });
  const first = await kubelet.whenPod("killed", "is ready", isReady);
  process.kill(await pidOf(idOf(first)), "SIGKILL");
  const second = await kubelet.whenPod("killed", "has a new container", (pod) => restarts(pod) === 1 && isReady(pod));
  expect(second.status.containerStatuses?.[0]?.lastState.terminated).toMatchObject({ exitCode: 137, reason: "Error" });
  expect(idOf(second)).not.toBe(idOf(first));
  expect(second.status.podIP).toBe(first.status.podIP);
});

test("5: probes run in the container: one that fails makes it unready, or has it started again", async () => {
  const probes = { readinessProbe: fileProbe("/tmp/ready"), livenessProbe: fileProbe("/tmp/alive") };
  kubelet.want("probed", { containers: [shell("touch /tmp/ready /tmp/alive; exec sleep 100000", probes)] });
  const id = idOf(await kubelet.whenPod("probed", "is ready", isReady));
  await inside(id, "rm /tmp/ready");
  expect(idOf(await kubelet.whenPod("probed", "is unready", (pod) => !isReady(pod)))).toBe(id);
  await inside(id, "touch /tmp/ready");
  await kubelet.whenPod("probed", "is ready again", isReady);
  await inside(id, "rm /tmp/alive");
  const after = await kubelet.whenPod("probed", "has a new container", (pod) => restarts(pod) === 1 && isReady(pod));
  expect(idOf(after)).not.toBe(id);
});

test("5: pods go on without the kubelet and without the daemon, and are theirs again", async () => {
  const before = idOf((await kubelet.whenPod("killed", "is ready", isReady)) as PodState);
  await kubelet.stop();
  await kubelet.start();
  expect(idOf(await kubelet.whenPod("killed", "is known again", isReady))).toBe(before);
  await cri.h.daemon.restart();
  await inside(before, "true");
  kubelet.want("later", { containers: [shell("exec sleep 100000")] });
  await kubelet.whenPod("later", "is ready", isReady);
  expect(idOf(await kubelet.whenPod("killed", "is as before", isReady))).toBe(before);
});

test("5: when space gets scarce, images that no pod uses are removed, and only those", async () => {
  const unused = await buildImage({
    layers: [{ entries: [...(await busyboxEntries("hardlink")), { path: "unused" }] }],
  });
  const name = await pushImage(cri.h.registry, "e2e/unused", "1", unused);
  await cri.crictl("pull", name);
  expect(await cri.crictl("images")).toContain("e2e/unused");
  await kubelet.stop();
  await kubelet.start({ evictionHard: { "imagefs.available": "99%" } });
  await until("the image is gone", async () => !(await cri.crictl("images")).includes("e2e/unused"), 60_000);
  expect(await cri.crictl("images")).toMatch(/e2e\/busybox/);
  expect(await cri.crictl("images")).toContain(pauseImage.split(":")[0]);
  const { status } = await kubelet.whenPod("killed", "is ready", isReady);
  expect(status.phase).toBe("Running");
  await kubelet.stop();
  await kubelet.start();
});

test("5: a pod whose manifest changes is replaced, one whose manifest is gone is removed", async () => {
  const before = idOf(await kubelet.whenPod("later", "is ready", isReady));
  kubelet.want("later", { containers: [shell("echo changed; exec sleep 100001")] });
  await kubelet.whenPod("later", "is another", (pod) => isReady(pod) && idOf(pod) !== before);
  for (const name of ["full", "killed", "probed", "later"]) kubelet.forget(name);
  await until("all pods are gone", async () => (await cri.crictl("pods", "-q")) === "", 90_000);
  expect(await cri.crictl("ps", "-a", "-q")).toBe("");
  expect(cri.leftovers()).toEqual([]);
  await until("their logs are gone", () => readdirSync(kubelet.logs).length === 0, 30_000);
}, 120_000);
