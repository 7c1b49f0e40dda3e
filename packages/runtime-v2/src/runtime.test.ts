import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ContainerdError } from "@ctrd/core/errors";
import type { Task } from "@ctrd/core/tasks";
import { TaskStatus } from "@ctrd/core/tasks";
import type { LeakCheck } from "@ctrd/testkit/fixtures";
import { leakCheck } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SpecOptions, TestIo } from "../test/harness.ts";
import { Harness, isAlive, shimPid, until } from "../test/harness.ts";
import type { ShimRuntime } from "./runtime.ts";

let harness: Harness;
let runtime: ShimRuntime;
let leaks: LeakCheck;
let ios: TestIo[];

beforeEach(async () => {
  harness = await Harness.open();
  leaks = await leakCheck({ root: harness.dir, markers: [harness.namespace] });
  runtime = await harness.runtime();
  ios = [];
});

afterEach(async () => {
  try {
    for (const task of await runtime.list(harness.ctx, true)) await forceDelete(task);
    await runtime.close();
    for (const at of ios) at.close();
    await leaks.expectClean();
    expect(existsSync(`/run/containerd/runc/${harness.namespace}`)).toBe(false);
  } finally {
    await harness.close();
  }
});

/** After a failed test only; the leak check tells what it could not remove. */
async function forceDelete(task: Task): Promise<void> {
  const ctx = { ...harness.ctx, signal: AbortSignal.timeout(5000) };
  await task.kill(ctx, "", 9, true).catch(() => {});
  await task.wait(ctx, "").catch(() => {});
  await runtime.delete(ctx, task.id).catch(() => {});
}

function io(withStdin = false): TestIo {
  const made = harness.io(withStdin);
  ios.push(made);
  return made;
}

function create(id: string, spec: SpecOptions, at: TestIo = io()): Promise<Task> {
  return runtime.create(harness.ctx, id, harness.createOptions(id, at, spec));
}

async function started(id: string, args: string[]): Promise<Task> {
  const task = await create(id, { args });
  await task.start(harness.ctx, "");
  return task;
}

async function end(task: Task): Promise<void> {
  await task.kill(harness.ctx, "", 9, true);
  await task.wait(harness.ctx, "");
  await runtime.delete(harness.ctx, task.id);
}

const failure = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof ContainerdError ? `${error.kind}: ${error.message}` : String(error)),
  );

const sleeper = ["sleep", "1000"];
const bundleOf = (id: string): string => join(harness.stateDir, harness.namespace, id);

describe("a task with a real shim", () => {
  it("is created, started, waited for and deleted; exit code 42, events in order, nothing left", async () => {
    const at = io();
    const task = await create("forty-two", { args: ["sh", "-c", "echo out; echo err >&2; exit 42"] }, at);
    expect(task.pid).toBeGreaterThan(0);
    expect(await task.state(harness.ctx, "")).toMatchObject({ status: TaskStatus.Created, pid: task.pid });
    const waiting = task.wait(harness.ctx, "");
    expect(await task.start(harness.ctx, "")).toBe(task.pid);
    expect(await waiting).toMatchObject({ exitStatus: 42, pid: task.pid });
    expect(await task.state(harness.ctx, "")).toMatchObject({ status: TaskStatus.Stopped, exitStatus: 42 });
    const shim = shimPid(harness.namespace, "forty-two");
    const exit = await runtime.delete(harness.ctx, "forty-two");
    expect(exit).toMatchObject({ exitStatus: 42, pid: task.pid });
    expect(exit.exitedAt?.seconds).toBeGreaterThan(0n);
    expect(at.output()).toBe("out\nerr\n");
    await until("events", () => harness.topics("forty-two").length >= 4);
    expect(harness.topics("forty-two")).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    expect(existsSync(bundleOf("forty-two"))).toBe(false);
    await until("shim's end", async () => !(await isAlive(shim)));
  });

  it("has the bundle of the contract", async () => {
    const task = await started("bundle", sleeper);
    const bundle = bundleOf("bundle");
    const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
    expect(mode(bundle)).toBe("700");
    expect(mode(join(harness.stateDir, harness.namespace))).toBe("711");
    expect(mode(join(bundle, "rootfs"))).not.toBe("0");
    expect(JSON.parse(await readFile(join(bundle, "config.json"), "utf8"))).toHaveProperty("ociVersion");
    expect(lstatSync(join(bundle, "log")).isFIFO()).toBe(true);
    const work = join(harness.dir, "root", harness.namespace, "bundle");
    expect(readlinkSync(join(bundle, "work"))).toBe(work);
    expect(mode(work)).toBe("711");
    expect(await readFile(join(bundle, "shim-binary-path"), "utf8")).toBe("/usr/bin/containerd-shim-runc-v2");
    expect(mode(join(bundle, "shim-binary-path"))).toBe("600");
    const bootstrap = JSON.parse(await readFile(join(bundle, "bootstrap.json"), "utf8")) as { address: string };
    expect(bootstrap).toMatchObject({ version: 2, protocol: "ttrpc" });
    expect(bootstrap.address).toBe(
      `unix://${(await readFile(join(bundle, "address"), "utf8")).slice("unix://".length)}`,
    );
    const socket = bootstrap.address.slice("unix://".length);
    expect(existsSync(socket)).toBe(true);
    await end(task);
    await until("socket's removal", () => !existsSync(socket));
    expect(existsSync(work)).toBe(false);
  });

  it("CVE-2024-21626: a shim shares no descriptor with the daemon, and has a process group of its own", async () => {
    const task = await started("fds", sleeper);
    const shim = shimPid(harness.namespace, "fds");
    const targets = readdirSync(`/proc/${shim}/fd`).map((fd) => link(`/proc/${shim}/fd/${fd}`));
    const own = new Set(readdirSync(`/proc/self/fd`).map((fd) => link(`/proc/self/fd/${fd}`)));
    expect(targets.filter((target) => /^(socket|pipe):/.test(target) && own.has(target))).toEqual([]);
    const [pgrp, environ] = await Promise.all([
      readFile(`/proc/${shim}/stat`, "utf8").then((text) => Number(text.split(") ")[1]?.split(" ")[2])),
      readFile(`/proc/${shim}/environ`, "utf8").then((text) => text.split("\0")),
    ]);
    expect(pgrp).not.toBe(process.pid);
    expect(environ).toEqual(
      expect.arrayContaining([`TTRPC_ADDRESS=${harness.ttrpcAddress}`, `NAMESPACE=${harness.namespace}`]),
    );
    expect(environ).toContain("CTRD_TEST=yes");
    // The shim adjusts its own score: the daemon's and one more.
    const [daemons, its] = ["self", shim].map((pid) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8")));
    expect(its).toBe((daemons ?? 0) + 1);
    await end(task);
  });

  it("kills, and tells 128 + signal", async () => {
    const task = await started("killed", sleeper);
    const waiting = task.wait(harness.ctx, "");
    await task.kill(harness.ctx, "", 9, false);
    expect(await waiting).toMatchObject({ exitStatus: 137 });
    expect(await failure(task.kill(harness.ctx, "", 9, false))).toMatch(/^not-found/);
    await runtime.delete(harness.ctx, "killed");
    expect(await failure(runtime.get(harness.ctx, "killed"))).toMatch(/^not-found: task killed not found/);
    expect(await failure(runtime.delete(harness.ctx, "killed"))).toMatch(/^not-found: task killed not found/);
  });

  it("runs execs, with stdin, CloseIO, exit codes and duplicate ids", async () => {
    const task = await started("execs", sleeper);
    const at = io(true);
    const spec = harness.execSpec(["sh", "-c", "cat; exit 7"]);
    await task.exec(harness.ctx, "one", { spec, io: at.stdio });
    expect(await failure(task.exec(harness.ctx, "one", { spec, io: at.stdio }))).toMatch(/^already-exists/);
    expect(await failure(task.exec(harness.ctx, "", { spec, io: at.stdio }))).toMatch(/^invalid-argument/);
    const waiting = task.wait(harness.ctx, "one");
    const pid = await task.start(harness.ctx, "one");
    expect(pid).not.toBe(task.pid);
    expect((await task.pids(harness.ctx)).map((process) => process.pid)).toEqual(
      expect.arrayContaining([task.pid, pid]),
    );
    at.stdin?.write("typed\n");
    await until("echo", () => at.output() === "typed\n");
    at.stdin?.end();
    await task.closeIo(harness.ctx, "one", true);
    expect(await waiting).toMatchObject({ exitStatus: 7 });
    expect(await task.deleteProcess(harness.ctx, "one")).toMatchObject({ exitStatus: 7, pid });
    expect(await failure(task.state(harness.ctx, "one"))).toMatch(/^not-found/);
    await end(task);
  });

  it("pauses, resumes, updates and measures", async () => {
    const task = await started("paused", sleeper);
    await task.pause(harness.ctx);
    expect((await task.state(harness.ctx, "")).status).toBe(TaskStatus.Paused);
    expect(await failure(runtime.delete(harness.ctx, "paused"))).toMatch(/paused process/);
    await task.resume(harness.ctx);
    expect((await task.state(harness.ctx, "")).status).toBe(TaskStatus.Running);
    expect(await failure(runtime.delete(harness.ctx, "paused"))).toMatch(/running process/);
    const stats = await task.stats(harness.ctx);
    expect(stats?.typeUrl).toMatch(/io\.containerd\.cgroups\.v[12]\.Metrics$/);
    expect(stats?.value.length).toBeGreaterThan(10);
    const resources = {
      typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
      value: Buffer.from('{"pids":{"limit":77}}'),
    };
    await task.update(harness.ctx, resources, new Map());
    await end(task);
  });

  it("has a terminal that can be resized", async () => {
    const at = io(true);
    const script = "echo ready; read line; stty size; echo got $line; exit 3";
    const task = await create("tty", { args: ["sh", "-c", script], terminal: true }, at);
    await task.start(harness.ctx, "");
    await task.resizePty(harness.ctx, "", 123, 45);
    await until("shell", () => at.output().includes("ready"));
    at.stdin?.write("typed\n");
    await until("size", () => at.output().includes("45 123\r\ngot typed"));
    expect(await task.wait(harness.ctx, "")).toMatchObject({ exitStatus: 3 });
    await runtime.delete(harness.ctx, "tty");
  });

  it("shares a shim within a group, which lives until the last task is deleted", async () => {
    const annotations = { "io.containerd.runc.v2.group": "pod" };
    const [first, second] = [
      await create("g1", { args: sleeper, annotations }),
      await create("g2", { args: sleeper, annotations }),
    ];
    await first.start(harness.ctx, "");
    await second.start(harness.ctx, "");
    const shim = shimPid(harness.namespace, "g1");
    const begun = Date.now();
    await end(first);
    expect(Date.now() - begun).toBeLessThan(2500);
    expect((await second.state(harness.ctx, "")).status).toBe(TaskStatus.Running);
    expect(await isAlive(shim)).toBe(true);
    await end(second);
    await until("shim's end", async () => !(await isAlive(shim)));
  });
});

describe("concurrency", () => {
  it("refuses a second create of a task and leaves the first alone", async () => {
    const results = await Promise.allSettled([started("twin", sleeper), create("twin", { args: sleeper })]);
    expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected"]);
    expect(await failure(create("twin", { args: sleeper }))).toMatch(/^already-exists: task twin/);
    const task = await runtime.get(harness.ctx, "twin");
    expect((await task.state(harness.ctx, "")).status).toBe(TaskStatus.Running);
    await end(task);
  });

  it("creates 20 tasks at once, and the same ids again after their deletion", async () => {
    for (let round = 0; round < 2; round++) {
      const tasks = await Promise.all(Array.from({ length: 20 }, (_, i) => started(`many-${i}`, sleeper)));
      expect((await runtime.list(harness.ctx, false)).length).toBe(20);
      await Promise.all(tasks.map((task) => end(task)));
    }
  }, 60_000);

  it("runs 50 execs in parallel", async () => {
    const task = await started("busy", sleeper);
    const exits = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const id = `e${i}`;
        await task.exec(harness.ctx, id, { spec: harness.execSpec(["sh", "-c", `exit ${i}`]), io: io().stdio });
        const waiting = task.wait(harness.ctx, id);
        await task.start(harness.ctx, id);
        const { exitStatus } = await waiting;
        await task.deleteProcess(harness.ctx, id);
        return exitStatus;
      }),
    );
    expect(exits).toEqual(Array.from({ length: 50 }, (_, i) => i));
    await end(task);
  }, 60_000);
});

describe("failures", () => {
  it("leave nothing when the container cannot be created", async () => {
    expect(await failure(create("bad", { args: ["/no/such/program"] }))).toMatch(/no such file or directory/);
    expect(existsSync(bundleOf("bad"))).toBe(false);
    expect(await failure(runtime.get(harness.ctx, "bad"))).toMatch(/^not-found/);
    // The id is free again.
    await end(await started("bad", sleeper));
  });

  it("leave nothing when there is no shim", async () => {
    const options = {
      ...harness.createOptions("noshim", io(), { args: sleeper }),
      runtime: "io.containerd.nothere.v1",
    };
    expect(await failure(runtime.create(harness.ctx, "noshim", options))).toMatch(
      /^not-found: .*containerd-shim-nothere-v1/,
    );
    expect(existsSync(bundleOf("noshim"))).toBe(false);
    for (const name of ["runc", "a/b.c"]) {
      const bad = runtime.create(harness.ctx, "noshim", { ...options, runtime: name });
      expect(await failure(bad)).toMatch(/^invalid-argument/);
    }
  });

  it("leave nothing when the caller gives up during the create", async () => {
    const controller = new AbortController();
    const ctx = { ...harness.ctx, signal: controller.signal };
    const creating = runtime.create(ctx, "given-up", harness.createOptions("given-up", io(), { args: sleeper }));
    await until("shim", () => existsSync(join(bundleOf("given-up"), "bootstrap.json")));
    controller.abort();
    expect(await failure(creating)).toMatch(/^canceled|Abort/);
    expect(existsSync(bundleOf("given-up"))).toBe(false);
    expect(await runtime.list(harness.ctx, true)).toEqual([]);
  });

  it("refuse malformed ids and a missing namespace", async () => {
    expect(await failure(create("../up", { args: sleeper }))).toMatch(/^invalid-argument/);
    const options = harness.createOptions("x", io(), { args: sleeper });
    expect(await failure(runtime.create({ ...harness.ctx, namespace: "" }, "x", options))).toMatch(
      /^failed-precondition/,
    );
  });

  it("of -info: a 1.x shim does not know it", async () => {
    const info = runtime.info(harness.ctx, { runtimePath: "io.containerd.runc.v2", options: undefined });
    expect(await failure(info)).toMatch(/^not-implemented/);
  });
});

describe("a shim that is killed", () => {
  it("gives exit and delete events, and everything is cleaned up", async () => {
    const task = await started("lost", sleeper);
    const waiting = task.wait(harness.ctx, "");
    await sleep(50);
    process.kill(shimPid(harness.namespace, "lost"), "SIGKILL");
    const exit = await waiting;
    expect(exit.exitStatus).toBe(137);
    expect(await failure(task.state(harness.ctx, ""))).toMatch(/^not-found/);
    await until("events", () => harness.topics("lost").includes("/tasks/delete"));
    expect(harness.topics("lost").slice(-2)).toEqual(["/tasks/exit", "/tasks/delete"]);
    expect(harness.exits("lost")).toEqual([expect.objectContaining({ id: "lost", exitStatus: 137, pid: task.pid })]);
    expect(harness.deletes("lost")).toEqual([expect.objectContaining({ id: "", exitStatus: 137 })]);
    expect(existsSync(bundleOf("lost"))).toBe(false);
    expect(await isAlive(task.pid)).toBe(false);
    expect(await failure(runtime.get(harness.ctx, "lost"))).toMatch(/^not-found: task lost not found/);
    await end(await started("lost", sleeper));
  });

  it("is met by a delete, which tells how the task ended", async () => {
    const task = await started("raced", sleeper);
    process.kill(shimPid(harness.namespace, "raced"), "SIGKILL");
    const deleted = await failure(runtime.delete(harness.ctx, task.id));
    expect(deleted).toMatch(/^resolved|^not-found: task raced not found/);
    await until("cleanup", () => !existsSync(bundleOf("raced")));
  });
});

describe("a restarted daemon", () => {
  it("finds its tasks again, running and stopped", async () => {
    const [running, stopping, stopped] = [
      await started("running", sleeper),
      await started("stopping", ["sh", "-c", "read x < /dev/null; sleep 1; exit 5"]),
      await started("stopped", ["sh", "-c", "exit 6"]),
    ];
    await stopped.wait(harness.ctx, "");
    await runtime.close();
    runtime = await harness.runtime();
    expect((await runtime.list(harness.ctx, false)).map((task) => task.id).sort()).toEqual([
      "running",
      "stopped",
      "stopping",
    ]);
    const again = await runtime.get(harness.ctx, "running");
    expect(again.pid).toBe(running.pid);
    expect(await (await runtime.get(harness.ctx, "stopping")).wait(harness.ctx, "")).toMatchObject({
      exitStatus: 5,
      pid: stopping.pid,
    });
    expect(await runtime.delete(harness.ctx, "stopping")).toMatchObject({ exitStatus: 5 });
    expect(await runtime.delete(harness.ctx, "stopped")).toMatchObject({ exitStatus: 6 });
    await end(again);
  });

  it("cleans up what died meanwhile, half-removed bundles and lonely work directories", async () => {
    const task = await started("died", sleeper);
    const shim = shimPid(harness.namespace, "died");
    await runtime.close();
    process.kill(shim, "SIGKILL");
    await until("shim's end", async () => !(await isAlive(shim)));
    const { mkdirSync, writeFileSync } = await import("node:fs");
    mkdirSync(bundleOf(".half/rootfs"), { recursive: true });
    mkdirSync(bundleOf("empty"));
    mkdirSync(bundleOf("unknown"));
    writeFileSync(join(bundleOf("unknown"), "config.json"), "{}");
    mkdirSync(join(harness.dir, "root", harness.namespace, "lonely"));
    runtime = await harness.runtime();
    expect(await runtime.list(harness.ctx, true)).toEqual([]);
    expect(readdirSync(join(harness.stateDir, harness.namespace))).toEqual([]);
    expect(readdirSync(join(harness.dir, "root", harness.namespace))).toEqual([]);
    expect(await isAlive(task.pid)).toBe(false);
  });

  it("ends a shim whose task was never created", async () => {
    const task = await started("never", sleeper);
    const shim = shimPid(harness.namespace, "never");
    // Delete behind the runtime's back: the shim lives, without a container.
    await task.kill(harness.ctx, "", 9, true);
    await task.wait(harness.ctx, "");
    await (await runtime.get(harness.ctx, "never")).shim.client.call("delete", { id: "never", execId: "" });
    await runtime.close();
    runtime = await harness.runtime();
    expect(await runtime.list(harness.ctx, true)).toEqual([]);
    await until("shim's end", async () => !(await isAlive(shim)));
    expect(existsSync(bundleOf("never"))).toBe(false);
  });
});

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
