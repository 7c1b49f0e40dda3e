/** Issue 5, Shows 2 and 4: pods, containers and images by crictl and by CRI's own messages, on a network. */
import { once } from "node:events";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { ContainerEventType, ContainerState, MountPropagation } from "@ctrd/api/cri/runtime/v1/api";
import { withNamespace, withSignal } from "@ctrd/core/context";
import { proxySandboxController } from "@ctrd/services";
import { htpasswdLine, pushImage, startRegistry } from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { until } from "./support/command.ts";
import type { CriHarness } from "./support/cri.ts";
import { openCri, pauseImage } from "./support/cri.ts";

let cri: CriHarness;
beforeAll(async () => {
  cri = await openCri(
    "cri",
    `[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.native]
snapshotter = "native"`,
  );
});
afterAll(() => cri?.close());
afterEach(async () => expect(await cri.removePods()).toEqual([]));

const { CONTAINER_CREATED: created, CONTAINER_RUNNING: running, CONTAINER_EXITED: exited } = ContainerState;

/** What a server says that is asked over TCP. */
async function ask(port: number, host: string): Promise<string> {
  const socket = connect(port, host);
  let text = "";
  try {
    await once(socket, "connect");
    socket.end("x");
    for await (const data of socket) text += String(data);
    return text;
  } catch (error) {
    return String(error);
  } finally {
    socket.destroy();
  }
}

test("5: version and status, and the network that is missing, wrong and mended", async () => {
  expect(await cri.crictl("version")).toMatch(
    /Version: +0\.1\.0\nRuntimeName: +containerd\n.*\nRuntimeApiVersion: +v1/,
  );
  const network = async (): Promise<Record<string, unknown>> => {
    const info = JSON.parse(await cri.crictl("info")) as { status: { conditions: Record<string, unknown>[] } };
    return info.status.conditions.find(({ type }) => type === "NetworkReady") ?? {};
  };
  expect(await network()).toMatchObject({ status: true });
  const file = join(cri.networks, "10-pods.conflist");
  const good = readFileSync(file, "utf8");
  writeFileSync(file, "{");
  await until("the network is not ready", async () => (await network())["status"] === false);
  expect(await network()).toMatchObject({ reason: "NetworkPluginNotReady", message: expect.stringContaining(file) });
  writeFileSync(file, good);
  await until("the network is ready", async () => (await network())["status"] === true);
});

test("5: images: pulled by tag, found by every name, removed with all names; the pause image is pinned", async () => {
  const { image } = cri.h;
  const digest = cri.h.busybox.root.descriptor.digest;
  const listed = JSON.parse(await cri.crictl("images", "-o", "json")) as { images: Record<string, unknown>[] };
  const own = listed.images.find(({ repoTags }) => (repoTags as string[]).includes(image));
  expect(own).toMatchObject({
    repoTags: [image],
    repoDigests: [`${image.replace(/:1$/, "")}@${digest}`],
    pinned: false,
  });
  const id = String(own?.["id"]);
  for (const name of [image, id, id.slice(7, 19), `${image.replace(/:1$/, "")}@${digest}`]) {
    expect(JSON.parse(await cri.crictl("inspecti", name))).toMatchObject({ status: { id } });
  }
  expect(await cri.crictl("images", "-q", image)).toBe(id);
  await cri.runPod("pin");
  expect(JSON.parse(await cri.crictl("inspecti", pauseImage))).toMatchObject({ status: { pinned: true } });
  expect((await cri.tryCrictl(["inspecti", "no/such:1"])).stderr).toContain("no such image");
  // Somebody else's image is seen as well, with its id.
  await cri.h.daemon.ctr(["--namespace", "k8s.io", "images", "tag", image, "other.test/x:1"]);
  await until("the other name", async () => (await cri.crictl("images")).includes("other.test/x"));
  await cri.crictl("rmi", id);
  expect(await cri.crictl("images", "-q")).not.toContain(id);
  await cri.crictl("pull", image);
  const info = await cri.images.imageFsInfo(cri.ctx, {});
  expect(info.imageFilesystems[0]?.fsId?.mountpoint).toBe(
    `${cri.h.daemon.root}/io.containerd.snapshotter.v1.overlayfs`,
  );
});

test("5: an image is pulled with the credentials of the call, and not without", async () => {
  const file = join(cri.networks, "../htpasswd");
  writeFileSync(file, htpasswdLine);
  const dir = join(cri.networks, "../guarded");
  const open = await startRegistry({ dir });
  await pushImage(open, "e2e/guarded", "1", cri.h.busybox);
  await open.stop();
  await using guarded = await startRegistry({ dir, auth: { htpasswd: { realm: "test", path: file } } });
  const image = `${guarded.host}/e2e/guarded:1`;
  expect((await cri.tryCrictl(["pull", image])).stderr).toMatch(/Unauthenticated|Unauthorized|401/i);
  expect((await cri.tryCrictl(["pull", "--creds", "user:wrong", image])).stderr).toMatch(/401|refused|credentials/i);
  expect(await cri.crictl("pull", "--creds", "user:s3cret", image)).toContain("sha256:");
});

test("5: two pods on a bridge reach each other, and a port of the host leads to one", async () => {
  const web = await cri.runPod("web", { portMappings: [{ containerPort: 8080, hostPort: 18_080 }] });
  const server = await cri.start(web, "server", "while true; do echo hello | nc -l -p 8080; done");
  const { status } = await cri.runtime.podSandboxStatus(cri.ctx, { podSandboxId: web, verbose: false });
  const ip = status?.network?.ip ?? "";
  expect(ip).toMatch(/^10\.88\./);
  const other = await cri.start(await cri.runPod("other"), "client", "sleep 1000");
  await until("the server answers the other pod", async () => {
    const { text } = await cri.exec(other, "sh", "-c", `echo x | nc -w 2 ${ip} 8080`);
    return text.includes("hello");
  });
  await until("the port of the host answers", async () => (await ask(18_080, "10.88.0.1")).includes("hello"));
  expect((await cri.exec(server, "hostname")).exitCode).toBe(0);
});

test("5: a container from its making to its removal, with its log, its exit code and its events", async () => {
  const seen: [string, number][] = [];
  const over = new AbortController();
  const events = (async () => {
    for await (const event of cri.runtime.getContainerEvents(withSignal(cri.ctx, over.signal), {})) {
      seen.push([event.containerId, event.containerEventType]);
    }
  })().catch(() => {});
  const pod = await cri.runPod("life", { labels: new Map([["app", "life"]]) });
  const id = await cri.create(pod, "main", "echo out; echo err >&2; sleep 0.2; exit 3", {
    labels: new Map([["tier", "x"]]),
  });
  expect(await cri.status(id)).toMatchObject({ state: created, reason: "" });
  await cri.runtime.startContainer(cri.ctx, { containerId: id });
  const end = await cri.inState(id, exited);
  expect(end).toMatchObject({ exitCode: 3, reason: "Error", logPath: join(cri.logs, "life/main.log") });
  const log = readFileSync(end.logPath, "utf8");
  expect(log).toMatch(/^\d{4}-\d\d-\d\dT\S+ stdout F out$/m);
  expect(log).toMatch(/^\S+ stderr F err$/m);
  expect(await cri.crictl("logs", id)).toContain("out");
  expect(await cri.crictl("ps", "-a", "-q", "--label", "tier=x")).toBe(id);
  expect(await cri.crictl("pods", "-q", "--label", "app=life")).toBe(pod);
  await expect(cri.runtime.startContainer(cri.ctx, { containerId: id })).rejects.toThrow(/CONTAINER_EXITED state/);
  await cri.crictl("rm", id);
  await cri.crictl("rm", id).catch((error: unknown) => expect(String(error)).toContain("not found"));
  await cri.crictl("rmp", "-f", pod);
  const all = [0, 1, 2, 3].map((type): [string, number] => [id, type]);
  await until("all events", () => seen.some(([who, type]) => who === pod && type === 3));
  over.abort();
  await events;
  expect(seen.filter(([who]) => who === id)).toEqual(all);
  expect(seen.filter(([who]) => who === pod).map(([, type]) => type)).toEqual([0, 1, 2, 3]);
  expect(ContainerEventType.CONTAINER_DELETED_EVENT).toBe(3);
});

test("5: a container is stopped by its signal, or by force when it does not listen", async () => {
  const pod = await cri.runPod("stop");
  const polite = await cri.start(pod, "polite", "trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done");
  const deaf = await cri.start(pod, "deaf", "trap '' TERM; echo ready; while true; do sleep 0.1; done");
  for (const id of [polite, deaf]) await until("ready", async () => (await cri.crictl("logs", id)).includes("ready"));
  await cri.runtime.stopContainer(cri.ctx, { containerId: polite, timeout: 30n });
  expect(await cri.status(polite)).toMatchObject({ state: exited, exitCode: 7 });
  await cri.runtime.stopContainer(cri.ctx, { containerId: deaf, timeout: 1n });
  expect(await cri.status(deaf)).toMatchObject({ state: exited, exitCode: 137 });
  await cri.runtime.stopContainer(cri.ctx, { containerId: "0".repeat(64), timeout: 0n });
});

test("5: what cannot be started has exited with the reason; memory that runs out is told", async () => {
  const pod = await cri.runPod("bad");
  const wrong = await cri.create(pod, "wrong", "", { command: ["/no/such/program"] });
  await expect(cri.runtime.startContainer(cri.ctx, { containerId: wrong })).rejects.toThrow(/no such file/);
  expect(await cri.status(wrong)).toMatchObject({ state: exited, exitCode: 128, reason: "StartError" });
  const hungry = await cri.start(pod, "hungry", "x=$(yes | head -c 200000000); echo $x | wc -c", {
    linux: { resources: { memoryLimitInBytes: 30_000_000n, memorySwapLimitInBytes: 30_000_000n } },
  });
  expect(await cri.inState(hungry, exited)).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
});

test("5: exec -i and attach by SPDY and WebSocket, exec in one call", async () => {
  const pod = await cri.runPod("streams");
  const id = await cri.start(pod, "main", "while read line; do echo got $line; done; sleep 1000", { stdin: true });
  for (const transport of ["spdy", "websocket"]) {
    const result = await cri.tryCrictl(["exec", "-i", "-r", transport, id, "sh", "-c", "cat; exit 0"], {
      input: "in\n",
    });
    expect(result.stdout).toBe("in\n");
    const attached = await cri.tryCrictl(["attach", "-i", "-r", transport, id], { input: `${transport}\n` });
    expect(attached.stderr).not.toContain("fatal");
    await until("the log has it", async () => (await cri.crictl("logs", id)).includes(`got ${transport}`));
  }
  expect(await cri.exec(id, "sh", "-c", "echo one; echo two >&2; exit 5")).toEqual({ text: "one\ntwo\n", exitCode: 5 });
  await expect(
    cri.runtime.execSync(cri.ctx, { containerId: id, cmd: ["sleep", "60"], timeout: 1n }),
  ).rejects.toMatchObject({ kind: "deadline-exceeded" });
});

test("5: a handler with a snapshotter of its own; streamed lists; the pod by the Sandbox API", async () => {
  const pod = await cri.runPod("native", {}, "native");
  const id = await cri.start(pod, "main", "echo kept >/file; sleep 1000");
  await until("the file", async () => (await cri.exec(id, "cat", "/file")).text === "kept\n");
  const { status, info } = await cri.runtime.containerStatus(cri.ctx, { containerId: id, verbose: true });
  expect(JSON.parse(info.get("info") ?? "{}")).toMatchObject({ sandboxID: pod, snapshotter: "native" });
  expect(status?.user?.linux).toMatchObject({ uid: 0n, gid: 0n });
  const { runtimeHandlers } = await cri.runtime.status(cri.ctx, { verbose: false });
  expect(runtimeHandlers.map(({ name }) => name)).toEqual(["", "native", "runc"]);
  const streamed: string[] = [];
  const filter = { id: "", state: undefined, podSandboxId: pod, labelSelector: new Map<string, string>() };
  for await (const { containers } of cri.runtime.streamContainers(cri.ctx, { filter })) {
    streamed.push(...containers.map((container) => container.id));
  }
  expect(streamed).toEqual([id]);
  const controller = proxySandboxController(cri.channel, "podsandbox");
  const k8s = withNamespace(cri.ctx, "k8s.io");
  expect(await controller.status(k8s, pod, false)).toMatchObject({ state: "SANDBOX_READY" });
});

test("5: mounts, limits that change, a log that is rotated", async () => {
  const pod = await cri.runPod("mounts");
  const shared = join(cri.networks, "../shared");
  const id = await cri.start(pod, "main", "echo first; while true; do echo tick; sleep 0.1; done", {
    mounts: [{ containerPath: "/data", hostPath: shared, propagation: MountPropagation.PROPAGATION_PRIVATE }],
    linux: { resources: { memoryLimitInBytes: 100_000_000n } },
  });
  await cri.exec(id, "sh", "-c", "echo kept > /data/file");
  expect(readFileSync(join(shared, "file"), "utf8")).toBe("kept\n");
  rmSync(shared, { recursive: true });
  await cri.crictl("update", "--memory", "200000000", id);
  expect((await cri.status(id))?.resources?.linux?.memoryLimitInBytes).toBe(200_000_000n);
  const log = join(cri.logs, "mounts/main.log");
  await until("the first line", () => readFileSync(log, "utf8").includes("first"));
  renameSync(log, `${log}.1`);
  await cri.runtime.reopenContainerLog(cri.ctx, { containerId: id });
  await until("the new file", () => readFileSync(log, "utf8").includes("tick"));
  expect(readFileSync(log, "utf8")).not.toContain("first");
  const stats = JSON.parse(await cri.crictl("stats", "-o", "json", id)) as { stats: Record<string, unknown>[] };
  expect(stats.stats[0]).toMatchObject({ attributes: { id } });
  expect(await cri.inState(id, running)).toBeDefined();
});
