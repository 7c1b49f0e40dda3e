import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { mountAll, runProgram, unmountAll, UnmountFlag } from "@ctrd/sys";
import { describe, expect, it } from "vitest";
import { usualSocketAddress } from "./address.ts";
import { Bundle } from "./bundle.ts";
import { isAlive, shimPid, until } from "../test/harness.ts";
import { bundleOf, create, end, failure, rt, sleeper, started, useRealShims } from "../test/real-shims.ts";

useRealShims();

describe("a shim that is killed", () => {
  it("gives exit and delete events, and everything is cleaned up", async () => {
    const task = await started("lost", sleeper);
    const waiting = task.wait(rt.harness.ctx, "");
    await sleep(50);
    process.kill(shimPid(rt.harness.namespace, "lost"), "SIGKILL");
    const exit = await waiting;
    expect(exit.exitStatus).toBe(137);
    expect(await failure(task.state(rt.harness.ctx, ""))).toMatch(/^not-found/);
    await until("events", () => rt.harness.topics("lost").includes("/tasks/delete"));
    expect(rt.harness.topics("lost").slice(-2)).toEqual(["/tasks/exit", "/tasks/delete"]);
    expect(rt.harness.exits("lost")).toEqual([expect.objectContaining({ id: "lost", exitStatus: 137, pid: task.pid })]);
    expect(rt.harness.deletes("lost")).toEqual([expect.objectContaining({ id: "", exitStatus: 137 })]);
    expect(existsSync(bundleOf("lost"))).toBe(false);
    expect(await isAlive(task.pid)).toBe(false);
    expect(await failure(rt.runtime.get(rt.harness.ctx, "lost"))).toMatch(/^not-found: task lost not found/);
    await end(await started("lost", sleeper));
  });

  it("is met by a delete, which tells how the task ended", async () => {
    const task = await started("raced", sleeper);
    process.kill(shimPid(rt.harness.namespace, "raced"), "SIGKILL");
    const deleted = await failure(rt.runtime.delete(rt.harness.ctx, task.id));
    expect(deleted).toMatch(/^resolved|^not-found: task raced not found/);
    await until("cleanup", () => !existsSync(bundleOf("raced")));
  });
});

describe("a full disk", () => {
  /** Room for the bundle's own files (its directory, log, config.json, rootfs, work) and `more` of what follows. */
  async function createWithRoomFor(more: number): Promise<string> {
    const directory = join(rt.harness.stateDir, rt.harness.namespace);
    mkdirSync(directory);
    mountAll([{ type: "tmpfs", source: "tmpfs", target: "", options: [`nr_inodes=${6 + more}`] }], directory);
    try {
      const result = await failure(create("full", { args: sleeper }));
      expect(readdirSync(directory)).toEqual([]);
      return result;
    } finally {
      // The log of the shim is read a moment longer.
      unmountAll(directory, UnmountFlag.Detach);
    }
  }

  it.each([
    { what: "a file of the bundle", room: -1, message: /^resource-exhausted: create task full: ENOSPC/ },
    { what: "the shim's own address file", room: 1, message: /^unknown: .*no space left on device/ },
    {
      what: "the note of how to reach the shim, which runs then",
      room: 2,
      message: /^resource-exhausted: create task full: ENOSPC/,
    },
  ])("without room for $what fails the create and leaves nothing", async ({ room, message }) => {
    expect(await createWithRoomFor(room)).toMatch(message);
    await end(await started("after", sleeper));
  });
});

describe("a restarted daemon", () => {
  it("finds its tasks again, running and stopped", async () => {
    const [running, stopping, stopped] = [
      await started("running", sleeper),
      await started("stopping", ["sh", "-c", "read x < /dev/null; sleep 1; exit 5"]),
      await started("stopped", ["sh", "-c", "exit 6"]),
    ];
    await stopped.wait(rt.harness.ctx, "");
    await rt.runtime.close();
    rt.runtime = await rt.harness.runtime();
    expect((await rt.runtime.list(rt.harness.ctx, false)).map((task) => task.id).sort()).toEqual([
      "running",
      "stopped",
      "stopping",
    ]);
    const again = await rt.runtime.get(rt.harness.ctx, "running");
    expect(again.pid).toBe(running.pid);
    expect(await (await rt.runtime.get(rt.harness.ctx, "stopping")).wait(rt.harness.ctx, "")).toMatchObject({
      exitStatus: 5,
      pid: stopping.pid,
    });
    expect(await rt.runtime.delete(rt.harness.ctx, "stopping")).toMatchObject({ exitStatus: 5 });
    expect(await rt.runtime.delete(rt.harness.ctx, "stopped")).toMatchObject({ exitStatus: 6 });
    await end(again);
  });

  it("cleans up what died meanwhile, half-removed bundles and lonely work directories", async () => {
    const task = await started("died", sleeper);
    const shim = shimPid(rt.harness.namespace, "died");
    await rt.runtime.close();
    process.kill(shim, "SIGKILL");
    await until("shim's end", async () => !(await isAlive(shim)));
    mkdirSync(bundleOf(".half/rootfs"), { recursive: true });
    mkdirSync(bundleOf("empty"));
    mkdirSync(bundleOf("unknown"));
    writeFileSync(join(bundleOf("unknown"), "config.json"), "{}");
    mkdirSync(join(rt.harness.dir, "root", rt.harness.namespace, "lonely"));
    rt.runtime = await rt.harness.runtime();
    expect(await rt.runtime.list(rt.harness.ctx, true)).toEqual([]);
    expect(readdirSync(join(rt.harness.stateDir, rt.harness.namespace))).toEqual([]);
    expect(readdirSync(join(rt.harness.dir, "root", rt.harness.namespace))).toEqual([]);
    expect(await isAlive(task.pid)).toBe(false);
  });

  it("keeps what belongs to a bundle that it cannot read", async () => {
    const work = join(rt.harness.dir, "root", rt.harness.namespace, "odd");
    mkdirSync(join(bundleOf("odd"), "shim-binary-path"), { recursive: true });
    mkdirSync(work, { recursive: true });
    await rt.runtime.close();
    rt.runtime = await rt.harness.runtime();
    expect(rt.harness.logLines.join()).toMatch(/error restore task .*EISDIR/);
    expect(existsSync(work)).toBe(true);
    rmSync(bundleOf("odd"), { recursive: true });
    rmSync(work, { recursive: true });
  });

  it("ends a shim that waits for the reader of its log, for which the last daemon did not live long enough", async () => {
    await rt.runtime.close();
    const { namespace, grpcAddress, ttrpcAddress, dir } = rt.harness;
    const bundle = new Bundle({ root: join(dir, "root"), state: rt.harness.stateDir }, namespace, "mute");
    await bundle.create(Buffer.from("{}"));
    const program = "/usr/bin/containerd-shim-runc-v2";
    await bundle.writeShimBinary(program);
    rt.harness.sockets.add(basename(usualSocketAddress("", grpcAddress, namespace, "mute")));
    const result = await runProgram({
      path: program,
      args: ["-namespace", namespace, "-address", grpcAddress, "-publish-binary", "true", "-id", "mute", "start"],
      cwd: bundle.path,
      env: { ...process.env, TTRPC_ADDRESS: ttrpcAddress },
    });
    expect(result.end).toEqual({ kind: "exited", code: 0 });
    const shim = shimPid(namespace, "mute");
    rt.runtime = await rt.harness.runtime();
    await until("shim's end", async () => !(await isAlive(shim)));
    expect(rt.harness.logLines.join()).not.toMatch(/reconnect to shim/);
    expect(existsSync(bundle.path)).toBe(false);
  });

  it("ends a shim whose task was never created", async () => {
    const task = await started("never", sleeper);
    const shim = shimPid(rt.harness.namespace, "never");
    // Delete behind the runtime's back: the shim lives, without a container.
    await task.kill(rt.harness.ctx, "", 9, true);
    await task.wait(rt.harness.ctx, "");
    await (await rt.runtime.get(rt.harness.ctx, "never")).shim.client.call("delete", { id: "never", execId: "" });
    await rt.runtime.close();
    rt.runtime = await rt.harness.runtime();
    expect(await rt.runtime.list(rt.harness.ctx, true)).toEqual([]);
    await until("shim's end", async () => !(await isAlive(shim)));
    expect(existsSync(bundleOf("never"))).toBe(false);
  });
});
