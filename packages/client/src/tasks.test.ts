// Tasks of real daemons: start, end, signals, added processes.
import { ContainerdError } from "@ctrd/core/errors";
import { withUser } from "@ctrd/oci";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { forEachDaemon, textOf } from "../test/harness.ts";
import type { Task } from "./index.ts";
import { connect, nullIo, streams } from "./index.ts";

const out = (task: Pick<Task, "stdout">): Promise<string> => textOf(task.stdout);
const err = (task: Pick<Task, "stderr">): Promise<string> => textOf(task.stderr);

/** The limit of the cgroup of a process: of the first version's controller, or of the unified hierarchy. */
async function pidsLimit(pid: number): Promise<string> {
  const groups = await readFile(`/proc/${pid}/cgroup`, "utf8");
  const [, separate] = /^\d+:pids:(.*)$/m.exec(groups) ?? [];
  const [, unified] = /^0::(.*)$/m.exec(groups) ?? [];
  return readFile(
    separate === undefined ? `/sys/fs/cgroup${unified}/pids.max` : `/sys/fs/cgroup/pids${separate}/pids.max`,
    "utf8",
  );
}

forEachDaemon("tasks", (h) => {
  it("run: stdout, stderr and exit code come, and nothing is left", async () => {
    const id = await (async () => {
      await using container = await h().container("run", ["sh", "-c", "echo out; echo err >&2; exit 42"]);
      await using task = await container.newTask();
      expect(await task.status()).toMatchObject({ state: "created" });
      const exit = task.wait();
      await task.start();
      expect(await exit).toMatchObject({ exitCode: 42 });
      expect(await task.status()).toMatchObject({ state: "stopped", exitCode: 42 });
      expect([await out(task), await err(task)]).toEqual(["out\n", "err\n"]);
      return container.id;
    })();
    await expect(h().client.loadContainer(id)).rejects.toMatchObject({ kind: "not-found" });
    await expect(h().client.snapshotter("overlayfs").stat(h().client.context(), id)).rejects.toMatchObject({
      kind: "not-found",
    });
  });

  it("the end is known after the task was deleted, and output that was read late is whole", async () => {
    await using container = await h().container("late", ["sh", "-c", "seq 1 2000; exit 3"]);
    const task = await container.newTask();
    await task.start();
    expect(await task.wait()).toMatchObject({ exitCode: 3 });
    const lines = out(task);
    expect(await task.delete()).toMatchObject({ exitCode: 3 });
    expect((await lines).split("\n").length).toBe(2001);
    const { exitCode, exitedAt } = await task.wait();
    expect(exitCode).toBe(3);
    expect(Math.abs(Date.now() - Number(exitedAt))).toBeLessThan(60_000);
    await expect(task.status()).rejects.toMatchObject({ kind: "not-found" });
  });

  it("twenty at once lose nothing", async () => {
    const outputs = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        await using container = await h().container("many", ["sh", "-c", `seq ${i} ${i + 500}`]);
        await using task = await container.newTask();
        await task.start();
        const [output] = await Promise.all([out(task), task.wait()]);
        return output.split("\n").length;
      }),
    );
    expect(outputs).toEqual(outputs.map(() => 502));
  }, 120_000);

  it("signals: a trap, SIGKILL, and the code of a signal", async () => {
    const script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    await using container = await h().container("signals", ["sh", "-c", script]);
    await using task = await container.newTask();
    await task.start();
    await new Promise((resolve) => task.stdout?.once("data", resolve));
    await task.kill("SIGTERM");
    expect(await task.wait()).toMatchObject({ exitCode: 7 });
    await expect(task.kill("SIGNOTHING")).rejects.toMatchObject({ kind: "invalid-argument" });
    await task.delete();

    await using again = await container.newTask({ io: nullIo });
    await again.start();
    await again.kill(9);
    expect(await again.wait()).toMatchObject({ exitCode: 137 });
  });

  it("what runs is not deleted unless it is to be killed", async () => {
    await using container = await h().container("refuse", ["sleep", "1000"]);
    await using task = await container.newTask();
    await expect(task.delete()).rejects.toMatchObject({ kind: "failed-precondition" });
    await task.start();
    await expect(task.delete()).rejects.toMatchObject({ kind: "failed-precondition" });
    await expect(container.delete()).rejects.toMatchObject({ kind: "failed-precondition" });
    await expect(container.newTask()).rejects.toMatchObject({ kind: "already-exists" });
    expect(await task.delete({ kill: true })).toMatchObject({ exitCode: 137 });
    await container.delete({ snapshot: true });
  });

  it("a created task that is never started is killed and deleted", async () => {
    await using container = await h().container("unstarted", ["true"]);
    await using task = await container.newTask();
    expect(task.pid).toBeGreaterThan(0);
    await task.delete({ kill: true });
    await expect(container.task()).rejects.toMatchObject({ kind: "not-found" });
  });

  it("a program that is not there is told by start or by newTask", async () => {
    await using container = await h().container("absent", ["/no/such/program"]);
    const run = async (): Promise<void> => {
      await using task = await container.newTask();
      await task.start();
    };
    await expect(run()).rejects.toThrow(/no such file or directory/);
    await expect(run()).rejects.toBeInstanceOf(ContainerdError);
  });

  it("pause and resume", async () => {
    await using container = await h().container("pause", ["sleep", "1000"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    expect(await task.status()).toMatchObject({ state: "running", pid: task.pid });
    await task.pause();
    expect(await task.status()).toMatchObject({ state: "paused" });
    expect(await h().client.tasks()).toEqual([{ id: container.id, pid: task.pid, state: "paused" }]);
    await task.resume();
    expect(await task.status()).toMatchObject({ state: "running" });
  });

  it("pids, metrics and new limits", async () => {
    await using container = await h().container("limits", ["sh", "-c", "sleep 1000 & sleep 1000"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    await expect.poll(async () => (await task.pids()).length).toBe(2);
    expect((await task.pids()).map(({ pid }) => pid)).toContain(task.pid);
    expect((await task.metrics()).data?.typeUrl).toMatch(/io\.containerd\.cgroups\.v[12]\.Metrics$/);
    await task.update({ resources: { pids: { limit: 42 } } });
    expect(await pidsLimit(task.pid)).toBe("42\n");
  });

  it("exec: output, exit code, directory, environment, user, and its own end", async () => {
    await using container = await h().container("exec", ["sleep", "1000"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    const args = ["sh", "-c", "echo $GREETING; pwd; id -u; echo bad >&2; exit 5"];
    await using process = await task.exec("one", {
      process: { args, env: ["GREETING=hello", "PATH=/bin"], cwd: "/tmp", user: { uid: 1000, gid: 1000 } },
    });
    expect(process.pid).toBe(0);
    await process.start();
    expect(process.pid).toBeGreaterThan(0);
    expect(await process.wait()).toMatchObject({ exitCode: 5 });
    expect([await out(process), await err(process)]).toEqual(["hello\n/tmp\n1000\n", "bad\n"]);
    expect(await process.status()).toMatchObject({ state: "stopped", exitCode: 5 });
    await expect(task.exec("one", { process: { args: ["true"] } })).rejects.toMatchObject({ kind: "already-exists" });
    expect(await process.delete()).toMatchObject({ exitCode: 5 });
    await expect(process.status()).rejects.toMatchObject({ kind: "not-found" });
    expect(await task.status()).toMatchObject({ state: "running" });
  });

  it("exec: a child that keeps the streams open does not hold the end up", async () => {
    await using container = await h().container("child", ["sleep", "1000"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    await using process = await task.exec("parent", { process: { args: ["sh", "-c", "sleep 900 & echo gone"] } });
    await process.start();
    const output = out(process);
    await process.wait();
    await process.delete();
    expect(await output).toBe("gone\n");
  });

  it("the user of a spec is looked up in the image", async () => {
    await using container = await h().container("user", ["sh", "-c", "id -u; id -g; id -G"], {
      specOptions: [withUser("app")],
    });
    await using task = await container.newTask();
    await task.start();
    expect(await out(task)).toBe("1000\n1000\n1000 10 29\n");
    await task.wait();
  });

  it("waiting can be given up; the task goes on", async () => {
    await using container = await h().container("giveup", ["sleep", "1000"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    await expect(task.wait({ signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ kind: "deadline-exceeded" });
    const controller = new AbortController();
    const wait = task.wait({ signal: controller.signal });
    controller.abort();
    await expect(wait).rejects.toMatchObject({ kind: "canceled" });
    await expect(task.status({ signal: controller.signal })).rejects.toMatchObject({ kind: "canceled" });
    expect(await task.status()).toMatchObject({ state: "running" });
  });

  it("another client finds the task, and waits for it", async () => {
    await using container = await h().container("found", ["sleep", "1000"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    await using other = await connect(h().daemon.address);
    const found = await (await other.loadContainer(container.id)).task();
    expect(found.pid).toBe(task.pid);
    const exit = found.wait();
    await sleep(50);
    await found.kill("KILL");
    expect(await exit).toMatchObject({ exitCode: 137 });
  });

  it("a checkpoint that cannot be written is an error, and the task runs on", async () => {
    await using container = await h().container("criu", ["sleep", "1000"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    await expect(task.checkpoint({ imagePath: "/proc/nowhere" })).rejects.toBeInstanceOf(ContainerdError);
    expect(await task.status()).toMatchObject({ state: "running" });
  });

  it("a restart of the daemon: the task and its streams go on, and its end is told to who asks again", async () => {
    await using container = await h().container("restart", ["sh", "-c", "read line; echo got $line; exit 8"]);
    await using task = await container.newTask({ io: streams({ stdin: true }) });
    await task.start();
    const broken = task.wait();
    broken.catch(() => {});
    await h().daemon.restart();
    await expect(broken).rejects.toBeInstanceOf(ContainerdError);
    await expect.poll(() => h().client.isServing(), { timeout: 5_000 }).toBe(true);
    expect(await task.status()).toMatchObject({ state: "running" });
    const exit = task.wait();
    task.stdin?.end("after the restart\n");
    expect(await out(task)).toBe("got after the restart\n");
    expect(await exit).toMatchObject({ exitCode: 8 });
  });
});
