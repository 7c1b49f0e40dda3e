import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { TaskStatus } from "@ctrd/core/tasks";
import { describe, expect, it } from "vitest";
import { isAlive, shimPid, until } from "../test/harness.ts";
import { bundleOf, create, end, failure, io, rt, sleeper, started, useRealShims } from "../test/real-shims.ts";

useRealShims();

describe("a task with a real shim", () => {
  it("is created, started, waited for and deleted; exit code 42, events in order, nothing left", async () => {
    const at = io();
    const task = await create("forty-two", { args: ["sh", "-c", "echo out; echo err >&2; exit 42"] }, at);
    expect(task.pid).toBeGreaterThan(0);
    expect(await task.state(rt.harness.ctx, "")).toMatchObject({ status: TaskStatus.Created, pid: task.pid });
    const waiting = task.wait(rt.harness.ctx, "");
    expect(await task.start(rt.harness.ctx, "")).toBe(task.pid);
    expect(await waiting).toMatchObject({ exitStatus: 42, pid: task.pid });
    expect(await task.state(rt.harness.ctx, "")).toMatchObject({ status: TaskStatus.Stopped, exitStatus: 42 });
    const shim = shimPid(rt.harness.namespace, "forty-two");
    const exit = await rt.runtime.delete(rt.harness.ctx, "forty-two");
    expect(exit).toMatchObject({ exitStatus: 42, pid: task.pid });
    expect(exit.exitedAt?.seconds).toBeGreaterThan(0n);
    await until("output", () => at.output().length === 8);
    expect(at.output().split("\n").sort()).toEqual(["", "err", "out"]);
    await until("events", () => rt.harness.topics("forty-two").length >= 4);
    expect(rt.harness.topics("forty-two")).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    expect(existsSync(bundleOf("forty-two"))).toBe(false);
    await until("shim's end", async () => !(await isAlive(shim)));
  });

  it("has the bundle of the contract", async () => {
    const task = await started("bundle", sleeper);
    const bundle = bundleOf("bundle");
    const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
    expect(mode(bundle)).toBe("700");
    expect(mode(join(rt.harness.stateDir, rt.harness.namespace))).toBe("711");
    expect(mode(join(bundle, "rootfs"))).not.toBe("0");
    expect(JSON.parse(await readFile(join(bundle, "config.json"), "utf8"))).toHaveProperty("ociVersion");
    expect(lstatSync(join(bundle, "log")).isFIFO()).toBe(true);
    const work = join(rt.harness.dir, "root", rt.harness.namespace, "bundle");
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
    const shim = shimPid(rt.harness.namespace, "fds");
    const targets = readdirSync(`/proc/${shim}/fd`).map((fd) => link(`/proc/${shim}/fd/${fd}`));
    const own = new Set(readdirSync(`/proc/self/fd`).map((fd) => link(`/proc/self/fd/${fd}`)));
    expect(targets.filter((target) => /^(socket|pipe):/.test(target) && own.has(target))).toEqual([]);
    const [pgrp, environ] = await Promise.all([
      readFile(`/proc/${shim}/stat`, "utf8").then((text) => Number(text.split(") ")[1]?.split(" ")[2])),
      readFile(`/proc/${shim}/environ`, "utf8").then((text) => text.split("\0")),
    ]);
    expect(pgrp).not.toBe(process.pid);
    expect(environ).toEqual(
      expect.arrayContaining([`TTRPC_ADDRESS=${rt.harness.ttrpcAddress}`, `NAMESPACE=${rt.harness.namespace}`]),
    );
    expect(environ).toContain("CTRD_TEST=yes");
    // The shim adjusts its own score: the daemon's and one more.
    const [daemons, its] = ["self", shim].map((pid) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8")));
    expect(its).toBe((daemons ?? 0) + 1);
    await end(task);
  });

  it("kills, and tells 128 + signal", async () => {
    const task = await started("killed", sleeper);
    const waiting = task.wait(rt.harness.ctx, "");
    await task.kill(rt.harness.ctx, "", 9, false);
    expect(await waiting).toMatchObject({ exitStatus: 137 });
    expect(await failure(task.kill(rt.harness.ctx, "", 9, false))).toMatch(/^not-found/);
    await rt.runtime.delete(rt.harness.ctx, "killed");
    expect(await failure(rt.runtime.get(rt.harness.ctx, "killed"))).toMatch(/^not-found: task killed not found/);
    expect(await failure(rt.runtime.delete(rt.harness.ctx, "killed"))).toMatch(/^not-found: task killed not found/);
  });

  it("runs execs, with stdin, CloseIO, exit codes and duplicate ids", async () => {
    const task = await started("execs", sleeper);
    const at = io(true);
    const spec = rt.harness.execSpec(["sh", "-c", "cat; exit 7"]);
    await task.exec(rt.harness.ctx, "one", { spec, io: at.stdio });
    expect(await failure(task.exec(rt.harness.ctx, "one", { spec, io: at.stdio }))).toMatch(/^already-exists/);
    expect(await failure(task.exec(rt.harness.ctx, "", { spec, io: at.stdio }))).toMatch(/^invalid-argument/);
    const waiting = task.wait(rt.harness.ctx, "one");
    const pid = await task.start(rt.harness.ctx, "one");
    expect(pid).not.toBe(task.pid);
    expect((await task.pids(rt.harness.ctx)).map((process) => process.pid)).toEqual(
      expect.arrayContaining([task.pid, pid]),
    );
    at.stdin?.write("typed\n");
    await until("echo", () => at.output() === "typed\n");
    at.stdin?.end();
    await task.closeIo(rt.harness.ctx, "one", true);
    expect(await waiting).toMatchObject({ exitStatus: 7 });
    expect(await task.deleteProcess(rt.harness.ctx, "one")).toMatchObject({ exitStatus: 7, pid });
    expect(await failure(task.state(rt.harness.ctx, "one"))).toMatch(/^not-found/);
    await end(task);
  });

  it("pauses, resumes, updates and measures", async () => {
    const task = await started("paused", sleeper);
    await task.pause(rt.harness.ctx);
    expect((await task.state(rt.harness.ctx, "")).status).toBe(TaskStatus.Paused);
    expect(await failure(rt.runtime.delete(rt.harness.ctx, "paused"))).toMatch(/paused process/);
    await task.resume(rt.harness.ctx);
    expect((await task.state(rt.harness.ctx, "")).status).toBe(TaskStatus.Running);
    expect(await failure(rt.runtime.delete(rt.harness.ctx, "paused"))).toMatch(/running process/);
    const stats = await task.stats(rt.harness.ctx);
    expect(stats?.typeUrl).toMatch(/io\.containerd\.cgroups\.v[12]\.Metrics$/);
    expect(stats?.value.length).toBeGreaterThan(10);
    const resources = {
      typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
      value: Buffer.from('{"pids":{"limit":77}}'),
    };
    await task.update(rt.harness.ctx, resources, new Map());
    await end(task);
  });

  it("has a terminal that can be resized", async () => {
    const at = io(true);
    const script = "echo ready; read line; stty size; echo got $line; exit 3";
    const task = await create("tty", { args: ["sh", "-c", script], terminal: true }, at);
    await task.start(rt.harness.ctx, "");
    await task.resizePty(rt.harness.ctx, "", 123, 45);
    await until("shell", () => at.output().includes("ready"));
    at.stdin?.write("typed\n");
    await until("size", () => at.output().includes("45 123\r\ngot typed"));
    expect(await task.wait(rt.harness.ctx, "")).toMatchObject({ exitStatus: 3 });
    await rt.runtime.delete(rt.harness.ctx, "tty");
  });

  it("shares a shim within a group, which lives until the last task is deleted", async () => {
    const annotations = { "io.containerd.runc.v2.group": "pod" };
    const [first, second] = [
      await create("g1", { args: sleeper, annotations }),
      await create("g2", { args: sleeper, annotations }),
    ];
    await first.start(rt.harness.ctx, "");
    await second.start(rt.harness.ctx, "");
    const shim = shimPid(rt.harness.namespace, "g1");
    const begun = Date.now();
    await end(first);
    expect(Date.now() - begun).toBeLessThan(2500);
    expect((await second.state(rt.harness.ctx, "")).status).toBe(TaskStatus.Running);
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
    const task = await rt.runtime.get(rt.harness.ctx, "twin");
    expect((await task.state(rt.harness.ctx, "")).status).toBe(TaskStatus.Running);
    await end(task);
  });

  it("creates 20 tasks at once, and the same ids again after their deletion", async () => {
    for (let round = 0; round < 2; round++) {
      const tasks = await Promise.all(Array.from({ length: 20 }, (_, i) => started(`many-${i}`, sleeper)));
      expect((await rt.runtime.list(rt.harness.ctx, false)).length).toBe(20);
      await Promise.all(tasks.map((task) => end(task)));
    }
  }, 60_000);

  it("runs 50 execs in parallel, and loses nothing of what they print", async () => {
    const task = await started("busy", sleeper);
    const results = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const id = `e${i}`;
        const at = io();
        const spec = rt.harness.execSpec(["sh", "-c", `echo out-${i}; exit ${i}`]);
        await task.exec(rt.harness.ctx, id, { spec, io: at.stdio });
        const waiting = task.wait(rt.harness.ctx, id);
        await task.start(rt.harness.ctx, id);
        const { exitStatus } = await waiting;
        await task.deleteProcess(rt.harness.ctx, id);
        await until("output", () => at.output() !== "");
        return `${exitStatus} ${at.output()}`;
      }),
    );
    expect(results).toEqual(Array.from({ length: 50 }, (_, i) => `${i} out-${i}\n`));
    await end(task);
  }, 60_000);
});

describe("failures", () => {
  it("leave nothing when the container cannot be created", async () => {
    expect(await failure(create("bad", { args: ["/no/such/program"] }))).toMatch(/no such file or directory/);
    expect(existsSync(bundleOf("bad"))).toBe(false);
    expect(await failure(rt.runtime.get(rt.harness.ctx, "bad"))).toMatch(/^not-found/);
    // The id is free again.
    await end(await started("bad", sleeper));
  });

  it("leave nothing when there is no shim", async () => {
    const options = {
      ...rt.harness.createOptions("noshim", io(), { args: sleeper }),
      runtime: "io.containerd.nothere.v1",
    };
    expect(await failure(rt.runtime.create(rt.harness.ctx, "noshim", options))).toMatch(
      /^not-found: .*containerd-shim-nothere-v1/,
    );
    expect(existsSync(bundleOf("noshim"))).toBe(false);
    for (const name of ["runc", "a/b.c"]) {
      const bad = rt.runtime.create(rt.harness.ctx, "noshim", { ...options, runtime: name });
      expect(await failure(bad)).toMatch(/^invalid-argument/);
    }
  });

  it("leave nothing when the caller gives up during the create", async () => {
    const controller = new AbortController();
    const ctx = { ...rt.harness.ctx, signal: controller.signal };
    const creating = rt.runtime.create(ctx, "given-up", rt.harness.createOptions("given-up", io(), { args: sleeper }));
    await until("shim", () => existsSync(join(bundleOf("given-up"), "bootstrap.json")));
    controller.abort();
    expect(await failure(creating)).toMatch(/^canceled|Abort/);
    expect(existsSync(bundleOf("given-up"))).toBe(false);
    expect(await rt.runtime.list(rt.harness.ctx, true)).toEqual([]);
  });

  it("refuse malformed ids and a missing namespace", async () => {
    expect(await failure(create("../up", { args: sleeper }))).toMatch(/^invalid-argument/);
    const options = rt.harness.createOptions("x", io(), { args: sleeper });
    expect(await failure(rt.runtime.create({ ...rt.harness.ctx, namespace: "" }, "x", options))).toMatch(
      /^failed-precondition/,
    );
  });

  it("of -info: a 1.x shim does not know it", async () => {
    const info = rt.runtime.info(rt.harness.ctx, { runtimePath: "io.containerd.runc.v2", options: undefined });
    expect(await failure(info)).toMatch(/^not-implemented/);
  });
});

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
