/** Issue 4, items 6 and 7, Shows 5: restart labels of any client, `--restart`, `update`, and volumes. */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { busyboxImage, pushImage } from "@ctrd/testkit/fixtures";
import type { Cli } from "./support/cli.ts";
import { cliOf } from "./support/cli.ts";
import { runOk, until } from "./support/command.ts";
import { watchEvents } from "./support/events.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { leftCgroups, leftMounts, removeShimSocket } from "./support/leaks.ts";
import { peerTest } from "./support/peers.ts";
import { alive } from "./support/processes.ts";
import { tableRows } from "./support/table.ts";

let h: Harness;
let cli: Cli;
beforeAll(async () => {
  const table = '[plugins."io.containerd.monitor.container.v1.restart"]\ninterval = "2s"\n';
  h = await openHarness("policy", { config: table });
  cli = cliOf(h);
});
afterAll(() => h?.close());
afterEach(async () => {
  const ids = (await ctr("containers", "ls", "-q")).split("\n").filter((id) => id !== "");
  // Else what is ended here runs again before it is removed.
  await Promise.all(ids.map((id) => label(id, "status=")));
  if (ids.length > 0) await ctrd("rm", "-f", "-v", ...ids);
});

const ctr = (...args: string[]): Promise<string> => h.daemon.ctr(args);
const ctrd = (...args: string[]): Promise<string> => cli.ctrd(...args);
const restart = (name: string): string => `containerd.io/restart.${name}`;

/** Sets restart labels with ctr. */
const label = (id: string, ...texts: string[]): Promise<string> =>
  ctr("containers", "label", id, ...texts.map((text) => restart(text)));

/** Runs a container with ctr. */
async function detached(name: string, ...command: string[]): Promise<string> {
  const id = h.daemon.id(name);
  await ctr("run", "-d", "--null-io", h.image, id, ...(command.length === 0 ? ["sleep", "1000"] : command));
  return id;
}

async function task(id: string): Promise<{ pid: number; status: string } | undefined> {
  const row = tableRows(await ctr("tasks", "ls")).find((one) => one["TASK"] === id);
  return row === undefined ? undefined : { pid: Number(row["PID"]), status: row["STATUS"] ?? "" };
}

/** The pid of the task once it runs and is another than `before`. */
function running(id: string, before = 0, timeoutMs = 20_000): Promise<number> {
  const probe = async (): Promise<number | false> => {
    const found = await task(id);
    return found?.status === "RUNNING" && found.pid !== before && found.pid;
  };
  return until(`${id} runs`, probe, timeoutMs);
}

async function labels(id: string): Promise<Record<string, string>> {
  return (JSON.parse(await ctr("containers", "info", id)) as { Labels: Record<string, string> }).Labels;
}

/** A file of the container's cgroup, with either hierarchy. */
function cgroupFile(controller: string, file: string, id: string): string {
  const place = `${h.daemon.namespace}/${id}/${file}`;
  return [`/sys/fs/cgroup/${controller}/${place}`, `/sys/fs/cgroup/${place}`].find((one) => existsSync(one)) ?? place;
}

async function inspect(name: string): Promise<Record<string, unknown>> {
  const [facts] = JSON.parse(await ctrd("inspect", name)) as Record<string, unknown>[];
  return facts ?? {};
}

test("labels of ctr: what has crashed runs again at once, and is counted", async () => {
  const id = await detached("always");
  await label(id, "status=running");
  const pid = await running(id);
  const watch = await watchEvents(h.daemon);
  process.kill(pid, "SIGKILL");
  await watch.next("the start", (event) => event.topic === "/tasks/start" && event.body["container_id"] === id);
  const of = (topic: string): number =>
    watch.seen().findIndex((event) => event.topic === topic && (event.body["container_id"] ?? event.body["id"]) === id);
  const order = ["/tasks/exit", "/tasks/delete", "/containers/update", "/tasks/create", "/tasks/start"].map(of);
  expect(order.every((at) => at >= 0)).toBe(true);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
  await watch.stop();
  await running(id, pid);
  expect(await labels(id)).toMatchObject({ [restart("count")]: "1" });
});

test("labels of ctr: policies, explicit stops, and the count of on-failure", async () => {
  const script = "sleep 0.3; exit 3";
  const limited = await detached("limited", "sh", "-c", script);
  await label(limited, "status=running", "policy=on-failure:2");
  const clean = await detached("clean", "sleep", "0.3");
  await label(clean, "status=running", "policy=on-failure");
  const never = await detached("never", "sh", "-c", script);
  await label(never, "status=running", "policy=no");
  const stopped = await detached("stopped");
  await label(stopped, "status=running", "policy=unless-stopped", "explicitly-stopped=true");
  await ctr("tasks", "kill", "-s", "KILL", stopped);
  // Killed by a client and wanted to run: the next pass starts it.
  const killed = await detached("killed");
  await label(killed, "status=running", "policy=unless-stopped");
  const pid = await running(killed);
  await ctr("tasks", "kill", "-s", "KILL", killed);
  await running(killed, pid);
  await until("two restarts", async () => (await labels(limited))[restart("count")] === "2");
  await until("it has ended for good", async () => (await task(limited))?.status === "STOPPED");
  // The same pass or a later one has seen all others.
  await label(killed, "explicitly-stopped=true");
  const sentinel = await detached("sentinel");
  await label(sentinel, "status=stopped");
  await until("the monitor stops what should be stopped", async () => (await task(sentinel)) === undefined);
  for (const id of [clean, never, stopped]) expect((await task(id))?.status).toBe("STOPPED");
  for (const id of [clean, never, stopped]) expect(await labels(id)).not.toHaveProperty([restart("count")]);
  expect((await task(limited))?.status).toBe("STOPPED");
});

test("a container that cannot be started is reported and tried again; without a snapshot it is left alone", async () => {
  const gone = await detached("gone", "sleep", "0.3");
  const id = await detached("runtime", "sleep", "0.3");
  await label(gone, "status=running");
  await ctr("containers", "label", gone, `${restart("explicitly-stopped")}=true`);
  await until("it has ended", async () => (await task(gone))?.status === "STOPPED");
  await ctr("tasks", "rm", gone).catch(() => "");
  await ctr("snapshots", "rm", gone);
  await label(gone, "explicitly-stopped=false");
  await label(id, "status=running", "loguri=binary:///no/such/program");
  const lines = (text: string): string[] =>
    h.daemon
      .logs()
      .split("\n")
      .filter((line) => line.includes(text) && line.includes('"warn"'));
  await until("it is reported", () => lines(gone).length > 0);
  await until("it is reported", () => lines(id).length > 0);
  expect(lines(gone).join()).toContain("left alone");
  expect(lines(id).join()).toContain("no such file");
  await label(id, "loguri=");
  await running(id);
  expect(lines(gone)).toHaveLength(1);
});

test("run --restart: crashes, logs in one file, ps, inspect, stop and start", async () => {
  const script = "echo begin; sleep 0.5; echo end; exit 5";
  const flags = ["--restart", "unless-stopped", "--name", "crash"];
  const id = await cli.background(...flags, h.image, "sh", "-c", script);
  const followed = cli.attempt(["logs", "-f", "crash"]);
  await until("three restarts", async () => Number((await labels(id))[restart("count")]) >= 3, 30_000);
  expect(await ctrd("ps", "-a", "--format", "{{.Names}} {{.Status}}")).toMatch(/^crash (Up|Restarting \(5\))/m);
  expect(await inspect("crash")).toMatchObject({
    RestartPolicy: { Name: "unless-stopped", MaximumRetryCount: 0 },
    RestartCount: expect.toSatisfy((count) => Number(count) >= 3),
  });
  await ctrd("stop", "-t", "0", "crash");
  const { code, stdout } = await followed;
  expect(code).toBe(0);
  expect(stdout).toMatch(/^(begin\nend\n){3,}(begin\n)?$/);
  expect(await ctrd("logs", "crash")).toBe(stdout);
  expect(await ctrd("ps", "-a", "--format", "{{.Names}} {{.Status}}")).toMatch(/^crash Exited/m);
  const before = (await labels(id))[restart("count")];
  await ctrd("start", "crash");
  await until("it is counted anew", async () => (await labels(id))[restart("count")] === "1");
  expect(Number(before)).toBeGreaterThanOrEqual(3);
  await ctrd("rm", "-f", "crash");
  await until("no task is left", async () => (await task(id)) === undefined);
});

test("run --restart: on-failure ends, in front as well; flags that do not fit are named", async () => {
  const script = "sleep 0.3; echo run; sleep 0.2; exit 4";
  const flags = ["--restart", "on-failure:2", "--name", "front"];
  const result = await cli.attempt(["run", ...flags, h.image, "sh", "-c", script]);
  expect(result).toMatchObject({ code: 4, stdout: "run\n" });
  h.daemon.ids.add(String((await inspect("front"))["Id"]));
  await until("it has ended for good", async () => {
    const { RestartCount, State } = await inspect("front");
    return RestartCount === 2 && (State as { Status: string }).Status === "exited";
  });
  await until("all was logged", async () => (await ctrd("logs", "front")) === "run\nrun\nrun\n");
  const facts = await inspect("front");
  expect(facts).toMatchObject({ State: { ExitCode: 4, Restarting: false } });
  await ctrd("rm", "front");
  const bad: [string[], string][] = [
    [["--rm", "--restart", "always"], "--rm does not go with --restart always"],
    [["--restart", "sometimes"], '--restart: restart policy "sometimes"'],
    [["--restart", "always:3"], "--restart: "],
  ];
  const check = async ([wrong, text]: [string[], string]): Promise<void> => {
    const failed = await cli.attempt(["run", "-d", ...wrong, h.image, "true"]);
    expect(failed).toMatchObject({ code: 125, stderr: expect.stringContaining(text) });
  };
  await Promise.all(bad.map(check));
});

/** What a reboot does: no process, no mount, nothing in /run. */
async function reboot(): Promise<void> {
  const { namespace, state, ids } = h.daemon;
  const pids = tableRows(await ctr("tasks", "ls")).filter((row) => row["STATUS"] === "RUNNING");
  await h.daemon.kill9();
  for (const { PID } of pids) process.kill(Number(PID), "SIGKILL");
  const shims = readdirSync("/proc").filter((name) => {
    const args = /^\d+$/.test(name) ? commandOf(name) : [];
    return args[0]?.includes("containerd-shim") === true && args.includes(namespace);
  });
  for (const pid of shims) process.kill(Number(pid), "SIGKILL");
  await until("the shims have ended", () => !shims.some((pid) => alive(Number(pid))));
  for (const mount of leftMounts(state)) await runOk("umount", ["-l", mount.replace(/^mount /, "")]);
  rmSync(`/run/containerd/runc/${namespace}`, { recursive: true, force: true });
  for (const directory of leftCgroups(namespace)) rmdirSync(directory);
  for (const id of ids) removeShimSocket(h.daemon, id);
  rmSync(state, { recursive: true });
}

function commandOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it has ended meanwhile
  }
}

test("after kill -9, a stop and a reboot the policies are applied", async () => {
  const run = (name: string, policy: string): Promise<string> =>
    cli.background("--name", name, "--restart", policy, h.image, "sh", "-c", "echo up; exec sleep 1000");
  const [first, unless, held, second, no, made] = await Promise.all([
    run("p-always", "always"),
    run("p-unless", "unless-stopped"),
    run("p-held", "unless-stopped"),
    run("p-stopped", "always"),
    run("p-no", "no"),
    ctrd("create", "--name", "p-made", "--restart", "always", h.image, "sleep", "1000").then((id) => id.trim()),
  ]);
  const ids = { always: first, unless, held, stopped: second, no };
  h.daemon.ids.add(made);
  await ctrd("stop", "-t", "0", "p-held", "p-stopped");
  const pids = async (): Promise<Record<string, number>> =>
    Object.fromEntries(
      await Promise.all(Object.entries(ids).map(async ([name, id]) => [name, (await task(id))?.pid ?? 0] as const)),
    );
  const before = await pids();
  expect(before).toMatchObject({ held: 0, stopped: 0 });
  // The daemon dies and its containers with it.
  await h.daemon.kill9();
  for (const pid of [before["always"], before["no"]]) process.kill(pid ?? 0, "SIGKILL");
  await h.daemon.restart();
  const always = await running(ids.always, before["always"]);
  // Docker's rule: always is started with the daemon, whoever has stopped it.
  const stopped = await running(ids.stopped);
  expect(await running(ids.unless)).toBe(before["unless"]);
  // A clean stop leaves all as it is.
  await h.daemon.stop();
  await h.daemon.restart();
  expect(await running(ids.always)).toBe(always);
  expect(await running(ids.stopped)).toBe(stopped);
  // A reboot: nothing runs and the state directory is gone.
  await reboot();
  await h.daemon.restart();
  await running(ids.always, always);
  await running(ids.unless, before["unless"]);
  await running(ids.stopped, stopped);
  for (const id of [ids.held, ids.no, made]) expect((await task(id))?.status).not.toBe("RUNNING");
  await until("it goes on in its log", async () => (await ctrd("logs", "p-unless")) === "up\nup\n");
  await ctrd("rm", "-f", ...Object.keys(ids).map((name) => `p-${name}`), "p-made");
});

test("update: limits of what runs and of what does not, and policies", async () => {
  const id = await cli.background(
    "--name",
    "limits",
    "--pids-limit",
    "50",
    "--memory",
    "64m",
    h.image,
    "sleep",
    "1000",
  );
  const resources = async (): Promise<unknown> =>
    ((await inspect("limits"))["Spec"] as { linux: { resources: unknown } }).linux.resources;
  await ctrd("update", "--pids-limit", "77", "--memory", "96m", "--cpus", "0.5", "--restart", "on-failure:3", "limits");
  expect(readFileSync(cgroupFile("pids", "pids.max", id), "utf8").trim()).toBe("77");
  const changed = { pids: { limit: 77 }, memory: { limit: 96 << 20 }, cpu: { quota: 50_000, period: 100_000 } };
  expect(await resources()).toMatchObject(changed);
  expect(await labels(id)).toMatchObject({ [restart("policy")]: "on-failure:3", [restart("status")]: "running" });
  // A policy that was given later holds, and the limits with it.
  const pid = await running(id);
  process.kill(pid, "SIGKILL");
  await running(id, pid);
  expect(readFileSync(cgroupFile("pids", "pids.max", id), "utf8").trim()).toBe("77");
  await ctrd("stop", "-t", "0", "limits");
  await ctrd("update", "--pids-limit", "33", "limits");
  await ctrd("start", "limits");
  await running(id);
  expect(readFileSync(cgroupFile("pids", "pids.max", id), "utf8").trim()).toBe("33");
  const refused = await cli.attempt(["update", "--memory", "1", "limits"]);
  expect(refused.code).toBe(1);
  expect(await resources()).toMatchObject({ memory: { limit: 96 << 20 } });
  expect((await cli.attempt(["update", "limits"])).stderr).toContain("nothing to change");
});

test("volumes: named, anonymous, of the image; filled once, removed with their containers", async () => {
  const layer = [
    { path: "srv/data/", type: "directory", mode: 0o750, uid: 1000, gid: 1000 },
    { path: "srv/data/seed", data: "from the image" },
    { path: "srv/link", type: "symlink", linkname: "../../../../srv/data" },
  ];
  const config = { Volumes: { "/srv/link": {}, "/srv/own": {} } };
  const image = await pushImage(
    h.registry,
    "e2e/volumes",
    "1",
    await busyboxImage({ applets: "symlink", layers: [{ entries: layer }], config }),
  );
  await ctr("images", "pull", "--plain-http", image);
  const show = "cat /v/seed; echo; stat -c '%a %u' /v; echo more >> /v/seed; cat /srv/link/seed";
  const volume = ["-v", "kept:/v/../v"];
  // The image has nothing at /v: what is there comes from a mount in the place of /srv/data.
  expect(await ctrd("run", "--rm", "-v", "kept:/srv/data", image, "cat", "/srv/data/seed")).toBe("from the image");
  expect(await ctrd("run", "--rm", ...volume, image, "sh", "-c", show)).toBe(
    "from the image\n750 1000\nfrom the image",
  );
  expect(await ctrd("run", "--rm", "-v", "kept:/v:ro", image, "sh", "-c", "cat /v/seed; touch /v/x || echo no")).toBe(
    "from the imagemore\nno\n",
  );
  // Those of --rm are gone with it.
  expect(await ctrd("volume", "ls", "-q")).toBe("kept\n");
  const mounts = ["-v", "/anonymous", "--mount", "type=volume,src=other,dst=/o", "--tmpfs", "/t:size=1m"];
  const id = await cli.background("--name", "user", ...mounts, image, "sleep", "1000");
  const names = (await ctrd("volume", "ls", "-q")).trim().split("\n");
  expect(names).toEqual(expect.arrayContaining(["kept", "other"]));
  expect(names).toHaveLength(5);
  const [other] = JSON.parse(await ctrd("volume", "inspect", "other")) as Record<string, unknown>[];
  const data = h.path(`cli/volumes/${h.daemon.namespace}/other/_data`);
  expect(other).toMatchObject({ Name: "other", Mountpoint: data, UsedBy: ["user"], Anonymous: false });
  expect(await ctrd("exec", "user", "sh", "-c", "echo x > /o/file; grep -c ' /t tmpfs ' /proc/mounts")).toBe("1\n");
  expect(readFileSync(`${data}/file`, "utf8")).toBe("x\n");
  expect(await cli.attempt(["volume", "rm", "other"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("is used by user"),
  });
  await ctrd("rm", "-f", "-v", "user");
  expect(await ctrd("volume", "ls", "-q")).toBe("kept\nother\n");
  expect(await task(id)).toBeUndefined();
  await ctrd("volume", "rm", "other");
  expect(await ctrd("volume", "prune", "--force")).toBe("");
  expect(await ctrd("volume", "prune", "--all", "--force")).toBe("kept\n");
  expect(existsSync(data)).toBe(false);
});

peerTest("run --init: the first process takes care of orphans", ["tini-static"], async () => {
  const script =
    "(sleep 0.1 &); sleep 0.5; head -c 29 /proc/1/cmdline | tr '\\0' ' '; cat /proc/[0-9]*/stat | grep -c ') Z '";
  const result = await cli.attempt(["run", "--rm", "--init", h.image, "sh", "-c", script]);
  expect(result.stdout).toBe("/sbin/docker-init -- sh -c (s0\n");
});
