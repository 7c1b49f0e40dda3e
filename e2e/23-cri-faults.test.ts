/** Issue 5, 9 and 10 and Shows 6 and 7: daemons that are killed, pods that cannot be, outputs and clients without end. */
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { ContainerState, PodSandboxState } from "@ctrd/api/cri/runtime/v1/api";
import { createContext } from "@ctrd/core/context";
import { readMountInfo, unmountAll, UnmountFlag } from "@ctrd/sys";
import { busyboxImage, pushImage } from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { start, until } from "./support/command.ts";
import type { CriHarness } from "./support/cri.ts";
import { shimSocket } from "./support/leaks.ts";
import { openCri } from "./support/cri.ts";
import { list } from "./support/machine-state.ts";
import { crictl } from "./support/peers.ts";

let cri: CriHarness;
beforeAll(async () => {
  cri = await openCri(
    "crif",
    `[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.broken]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.broken.options]
BinaryName = "/no/such/runc"
[plugins."io.containerd.cri.v1.images"]
discard_unpacked_layers = true`,
  );
});
afterAll(() => cri?.close());
afterEach(async () => expect(await cri.removePods()).toEqual([]));

const { CONTAINER_RUNNING: running, CONTAINER_EXITED: exited } = ContainerState;

async function isServing(): Promise<void> {
  await until("CRI serves", async () => {
    try {
      await cri.runtime.version(cri.ctx, { version: "" });
      return true;
    } catch {
      return false;
    }
  });
}

test("10: pods and containers go on while the daemon is killed; ends meanwhile are known afterwards", async () => {
  const pod = await cri.runPod("kill");
  const lasting = await cri.start(pod, "lasting", "i=0; while true; do echo tick $i; i=$((i+1)); sleep 0.1; done");
  const brief = await cri.start(pod, "brief", "sleep 1; exit 9");
  const made = await cri.create(pod, "made", "sleep 1000");
  const before = await cri.status(lasting);
  await cri.h.daemon.kill9();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await cri.h.daemon.restart();
  await isServing();
  const { items } = await cri.runtime.listPodSandbox(cri.ctx, { filter: undefined });
  expect(items).toMatchObject([{ id: pod, state: PodSandboxState.SANDBOX_READY }]);
  expect(await cri.status(lasting)).toMatchObject({ state: running, startedAt: before?.startedAt });
  expect(await cri.inState(brief, exited)).toMatchObject({ exitCode: 9, reason: "Error" });
  // Its log goes on where it was, and so does everything else.
  const log = join(cri.logs, "kill/lasting.log");
  const length = readFileSync(log, "utf8").length;
  await until("the log grows", () => readFileSync(log, "utf8").length > length);
  expect(await cri.exec(lasting, "echo", "alive")).toEqual({ text: "alive\n", exitCode: 0 });
  await cri.runtime.startContainer(cri.ctx, { containerId: made });
  expect(await cri.status(made)).toMatchObject({ state: running });
  await cri.runtime.stopContainer(cri.ctx, { containerId: lasting, timeout: 0n });
  expect(await cri.status(lasting)).toMatchObject({ state: exited, exitCode: 137 });
});

/** Ends processes and their shims, unmounts all that the daemon has mounted, and removes its state and that of runc. */
async function endAsRebootDoes(pids: readonly number[], ids: readonly string[]): Promise<void> {
  const { address, state } = cri.h.daemon;
  const shims = readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(`-address\0${address}\0`);
    } catch {
      return false;
    }
  });
  const all = [...shims.map(Number), ...pids];
  for (const one of all) process.kill(one, "SIGKILL");
  await until("all have ended", () => all.every((one) => !existsSync(`/proc/${one}`)));
  for (const { mountPoint } of readMountInfo()) {
    if (mountPoint.startsWith(`${state}/`)) unmountAll(mountPoint, UnmountFlag.Detach);
  }
  rmSync(state, { recursive: true });
  for (const id of ids) {
    rmSync(shimSocket(cri.h.daemon, "k8s.io", id), { force: true });
    rmSync(`/run/containerd/runc/k8s.io/${id}`, { recursive: true });
    for (const cgroup of list("/sys/fs/cgroup")) {
      if (existsSync(`${cgroup}/k8s.io/${id}`)) rmdirSync(`${cgroup}/k8s.io/${id}`);
    }
  }
}

test("10: a pod whose state is gone, as after a reboot, is not ready and its containers have exited", async () => {
  const pod = await cri.runPod("reboot");
  const id = await cri.start(pod, "main", "sleep 1000");
  const { status, info } = await cri.runtime.podSandboxStatus(cri.ctx, { podSandboxId: pod, verbose: true });
  const details = JSON.parse(info.get("info") ?? "{}") as { pid: number };
  const { pid } = JSON.parse(
    (await cri.runtime.containerStatus(cri.ctx, { containerId: id, verbose: true })).info.get("info") ?? "{}",
  ) as { pid: number };
  await cri.h.daemon.kill9();
  await endAsRebootDoes([pid, details.pid], [id, pod]);
  await cri.h.daemon.restart();
  await isServing();
  expect(await cri.inState(id, exited)).toMatchObject({ exitCode: 255, reason: "Unknown" });
  const after = await cri.runtime.podSandboxStatus(cri.ctx, { podSandboxId: pod, verbose: false });
  expect(after.status).toMatchObject({ state: PodSandboxState.SANDBOX_NOTREADY, network: status?.network ?? {} });
  await expect(cri.start(pod, "more", "true")).rejects.toThrow(/not ready/);
});

test("9: a pod that cannot be run leaves nothing, its error names the stage, and its name is free", async () => {
  await expect(cri.runPod("broken", {}, "broken")).rejects.toThrow(
    /run pod sandbox "broken_e2e_uid-broken_0": start: .*no\/such\/runc/,
  );
  expect(await cri.removePods()).toEqual([]);
  const { items } = await cri.runtime.listPodSandbox(cri.ctx, { filter: undefined });
  expect(items).toEqual([]);
  expect(await cri.h.daemon.ctr(["--namespace", "k8s.io", "containers", "ls", "-q"])).toBe("");
  expect(await cri.h.daemon.ctr(["--namespace", "k8s.io", "leases", "ls", "-q"])).toBe("");
  const pod = await cri.runPod("broken");
  await expect(cri.runPod("broken")).rejects.toThrow(
    new RegExp(`pod sandbox name "broken_e2e_uid-broken_0" is reserved for "${pod}" \\(stage: ready, since `),
  );
  await expect(cri.runPod("none", {}, "nope")).rejects.toThrow(/runtime handler: no runtime for "nope" is configured/);
  const missing = cri.create(pod, "main", "true", { image: { image: "no/such:1" } });
  await expect(missing).rejects.toThrow(/create container "main_broken_e2e_uid-broken_0": image: image "no\/such:1"/);
  await cri.create(pod, "main", "true");
});

test("5: layers that are unpacked are collected when that is asked for, and the image still runs", async () => {
  const layer = cri.h.busybox.layers[0]?.descriptor.digest ?? "";
  const digests = (): Promise<string> => cri.h.daemon.ctr(["--namespace", "k8s.io", "content", "ls", "-q"]);
  // A collection comes with the removal of an image.
  await cri.h.daemon.ctr(["--namespace", "k8s.io", "images", "tag", cri.h.image, "other.test/x:1"]);
  await cri.h.daemon.ctr(["--namespace", "k8s.io", "images", "rm", "--sync", "other.test/x:1"]);
  expect(await digests()).toContain(cri.h.busybox.root.descriptor.digest);
  expect(await digests()).not.toContain(layer);
  const id = await cri.start(await cri.runPod("layers"), "main", "sleep 1000");
  expect(await cri.exec(id, "echo", "runs")).toEqual({ text: "runs\n", exitCode: 0 });
});

test("9: a client that gives up does not leave half a pod", async () => {
  for (const afterMs of [1, 30, 80, 150]) {
    const config = cri.pod(`gone${afterMs}`);
    mkdirSync(config.logDirectory, { recursive: true });
    const ctx = createContext({ signal: AbortSignal.timeout(afterMs) });
    const outcome = await cri.runtime.runPodSandbox(ctx, { config, runtimeHandler: "" }).then(
      ({ podSandboxId }) => podSandboxId,
      () => undefined,
    );
    if (outcome !== undefined) {
      await cri.runtime.removePodSandbox(cri.ctx, { podSandboxId: outcome });
      continue;
    }
    // The name is free again once everything is undone, or the pod was ready before the client left.
    await until(`pod gone${afterMs}`, async () => {
      try {
        const podSandboxId = await cri.runPod(`gone${afterMs}`);
        await cri.runtime.removePodSandbox(cri.ctx, { podSandboxId });
        return true;
      } catch (error) {
        expect(String(error)).toContain("is reserved for");
        return (await cri.runtime.listPodSandbox(cri.ctx, { filter: undefined })).items.length > 0;
      }
    });
  }
});

test("CVE-2022-31030, CVE-2026-53495: output of ExecSync is cut, and a child that keeps the pipe does not hold it up", async () => {
  const id = await cri.start(await cri.runPod("sync"), "main", "sleep 1000");
  const cmd = ["sh", "-c", "head -c 200000000 /dev/zero; echo end >&2"];
  const result = await cri.runtime.execSync(cri.ctx, { containerId: id, cmd, timeout: 60n });
  // Both fit into one message of gRPC.
  const [stdout, stderr] = [result.stdout.length, Buffer.from(result.stderr).toString()];
  expect([stdout, stderr, result.exitCode]).toEqual([(16 << 20) - 1024 - 4, "end\n", 0]);
  const started = Date.now();
  expect(await cri.exec(id, "sh", "-c", "sleep 600 & echo left")).toEqual({ text: "left\n", exitCode: 0 });
  expect(Date.now() - started).toBeLessThan(15_000);
});

test("CVE-2025-64329: clients of attach that come and go leave no handle", async () => {
  const id = await cri.start(await cri.runPod("attach"), "main", "while true; do echo x; sleep 0.1; done", {
    stdin: true,
  });
  const handles = async (): Promise<number> => {
    const { readdir } = await import("node:fs/promises");
    return (await readdir(`/proc/${cri.h.daemon.pid}/fd`)).length;
  };
  const attach = async (): Promise<void> => {
    const child = start(crictl, ["-r", `unix://${cri.h.daemon.address}`, "attach", "-i", id]);
    await once(child.stdout ?? child, "data");
    child.kill("SIGKILL");
    await once(child, "close");
  };
  await attach();
  const before = await handles();
  for (let round = 0; round < 3; round++) await Promise.all([attach(), attach(), attach(), attach()]);
  await until("no handle more than before", async () => (await handles()) <= before + 1);
});

test("5: port-forward reaches what listens in the pod, by SPDY and by WebSocket", async () => {
  const pod = await cri.runPod("forward");
  await cri.start(pod, "main", "while true; do echo hello | nc -l -p 8080; done");
  for (const transport of ["spdy", "websocket"]) {
    const endpoint = `unix://${cri.h.daemon.address}`;
    const child = start(crictl, ["-r", endpoint, "port-forward", "-r", transport, pod, ":8080"]);
    let said = "";
    child.stdout?.on("data", (data) => (said += String(data)));
    child.stderr?.on("data", (data) => (said += String(data)));
    try {
      const port = await until("it listens", () => /Forwarding from 127\.0\.0\.1:(\d+)/.exec(said)?.[1]);
      await until("hello", async () => {
        const socket = connect(Number(port), "127.0.0.1");
        let text = "";
        socket.on("data", (data) => (text += String(data))).on("error", () => {});
        await once(socket, "close");
        return text === "hello\n";
      });
    } finally {
      child.kill("SIGTERM");
      await once(child, "close");
    }
  }
});

test("CVE-2022-23648: volumes of an image stay in its root; what it has there is copied, owners and all", async () => {
  const secret = join(cri.networks, "../secret");
  mkdirSync(secret);
  writeFileSync(join(secret, "key"), "secret");
  const image = await busyboxImage({
    layers: [
      {
        entries: [
          { path: "data/", type: "directory", mode: 0o750, uid: 1000, gid: 1000 },
          { path: "data/file", data: "kept\n", uid: 1000, gid: 1000 },
          { path: "link", type: "symlink", linkname: secret },
        ],
      },
    ],
    config: { Volumes: { "/data": {}, "/link": {}, [`/../..${secret}`]: {} } },
  });
  const reference = await pushImage(cri.h.registry, "e2e/volumes", "1", image);
  await cri.crictl("pull", reference);
  const pod = await cri.runPod("volumes");
  const id = await cri.start(pod, "main", "sleep 1000", { image: { image: reference } });
  expect(await cri.exec(id, "sh", "-c", "cat /data/file; stat -c '%u:%g %a' /data")).toEqual({
    text: "kept\n1000:1000 750\n",
    exitCode: 0,
  });
  expect((await cri.exec(id, "sh", "-c", `find / -xdev -name key; ls ${secret} /link`)).text).not.toContain("key");
  expect(existsSync(join(secret, "key"))).toBe(true);
  rmSync(secret, { recursive: true });
});

test("CVE-2026-53488, CVE-2024-40635: labels of an image instruct nobody, and its user is never wrapped to root", async () => {
  const labels = { "containerd.io/restart.status": "running", "io.containerd.x": "y", plain: "z" };
  const pod = await cri.runPod("labels");
  const make = async (name: string, config: object): Promise<string> => {
    const reference = await pushImage(cri.h.registry, `e2e/${name}`, "1", await busyboxImage({ config }));
    await cri.crictl("pull", reference);
    return cri.create(pod, name, "sleep 1000", { image: { image: reference } });
  };
  const id = await make("labelled", { Labels: labels });
  const record = await cri.h.daemon.ctr(["--namespace", "k8s.io", "containers", "info", id]);
  const stored = (JSON.parse(record) as { Labels: Record<string, string> }).Labels;
  expect(stored).toMatchObject({ plain: "z", "io.cri-containerd.kind": "container" });
  expect(Object.keys(stored).filter((key) => /restart|io\.containerd\./.test(key))).toEqual([]);
  for (const [index, user] of ["2147483648", "4294967296", "4294967296:0", "-1"].entries()) {
    await expect(make(`user${index}`, { User: user })).rejects.toThrow(/spec: /);
  }
});
