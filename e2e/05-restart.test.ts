/** Shows 5: kill -9 of the daemon and of a shim. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { until } from "./support/command.ts";
import { watchEvents } from "./support/events.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { leftMounts, removeClientFifos, removeShimSocket } from "./support/leaks.ts";
import { list } from "./support/machine-state.ts";
import { alive, shimPid } from "./support/processes.ts";
import { tableRows, wordRows } from "./support/table.ts";

let h: Harness;
beforeAll(async () => (h = await openHarness("restart")));
afterAll(() => h?.close());
afterEach(async () => {
  // A client that is gone cannot remove its FIFOs when the daemon finds the task dead.
  removeClientFifos(h.daemon.ids);
  for (const id of lines(await ctr("tasks", "ls", "-q"))) await ctr("tasks", "rm", "-f", id);
  for (const id of lines(await ctr("containers", "ls", "-q"))) await ctr("containers", "rm", id);
});

const ctr = (...args: string[]): Promise<string> => h.daemon.ctr(args);
const lines = (text: string): string[] =>
  text
    .trim()
    .split("\n")
    .filter((line) => line !== "");

async function detached(name: string, ...command: string[]): Promise<{ id: string; pid: number }> {
  const id = h.daemon.id(name);
  await ctr("run", "-d", h.image, id, ...(command.length === 0 ? ["sleep", "1000"] : command));
  return { id, pid: Number((await task(id))?.["PID"]) };
}

async function task(id: string): Promise<Record<string, string> | undefined> {
  return tableRows(await ctr("tasks", "ls")).find((row) => row["TASK"] === id);
}

test("5: containers run on through kill -9 and restart of the daemon; exec, kill and delete work", async () => {
  const some = await Promise.all([1, 2, 3].map((i) => detached(`on${i}`)));
  await h.daemon.kill9();
  for (const { pid } of some) expect(alive(pid)).toBe(true);
  await h.daemon.restart();
  for (const { id, pid } of some) {
    expect(await task(id)).toEqual({ TASK: id, PID: String(pid), STATUS: "RUNNING" });
    expect(await ctr("tasks", "exec", "--exec-id", "after", id, "echo", "still here")).toBe("still here\n");
    expect(wordRows(await ctr("tasks", "ps", id))).toEqual([[String(pid), "-"]]);
    expect(JSON.parse(await ctr("tasks", "metrics", "--format", "json", id))).toMatchObject({ pids: { current: 1 } });
    await ctr("tasks", "kill", "-s", "KILL", id);
    await until("the task is stopped", async () => (await task(id))?.["STATUS"] === "STOPPED");
    expect((await h.daemon.tryCtr(["tasks", "rm", id])).stderr).toContain("exit code 137");
    await ctr("containers", "rm", id);
  }
  expect(leftMounts(h.daemon.dir)).toEqual([]);
});

test("5: a graceful stop leaves the containers alone too", async () => {
  const { id, pid } = await detached("graceful");
  await h.daemon.stop();
  expect(alive(pid)).toBe(true);
  await h.daemon.restart();
  expect((await task(id))?.["STATUS"]).toBe("RUNNING");
});

test("5: an exit while the daemon was away is seen after its restart", async () => {
  const { id, pid } = await detached("away");
  await h.daemon.kill9();
  process.kill(pid, "SIGKILL");
  await until("the process has ended", () => !alive(pid));
  await h.daemon.restart();
  await until("the task is no longer running", async () => (await task(id))?.["STATUS"] !== "RUNNING");
  if ((await task(id)) !== undefined) await ctr("tasks", "rm", id);
  expect(await ctr("tasks", "ls", "-q")).toBe("");
  await ctr("containers", "rm", id);
  expect(leftMounts(h.daemon.dir)).toEqual([]);
  expect(list(`${h.daemon.state}/io.containerd.runtime.v2.task/${h.daemon.namespace}`)).toEqual([]);
});

test("5: events of an exit while the daemon was away are delivered late", async () => {
  const { id, pid } = await detached("late");
  const stays = await detached("stays");
  await h.daemon.kill9();
  process.kill(pid, "SIGKILL");
  await h.daemon.restart();
  const watch = await watchEvents(h.daemon);
  const exit = await watch.next(
    "the exit",
    (event) => event.topic === "/tasks/exit" && event.body["container_id"] === id,
  );
  expect(exit.body).toMatchObject({ container_id: id, id, exit_status: 137 });
  await watch.stop();
  expect((await task(stays.id))?.["STATUS"]).toBe("RUNNING");
});

test("5: a running shell keeps its output pipes through a restart", async () => {
  const { id } = await detached("pipes", "sh", "-c", "while read word; do echo got $word; done");
  await h.daemon.kill9();
  await h.daemon.restart();
  const answer = await h.daemon.tryCtr(["tasks", "attach", id], { input: "again\n", timeoutMs: 2000 });
  expect(answer.stdout).toBe("got again\n");
});

test("5: kill -9 of a shim: exit and delete events, nothing mounted, the task is gone and the container removable", async () => {
  const { id, pid } = await detached("shim");
  const other = await detached("other");
  const watch = await watchEvents(h.daemon);
  process.kill(shimPid(h.daemon, id), "SIGKILL");
  await watch.next("the delete", (event) => event.topic === "/tasks/delete" && event.body["container_id"] === id);
  const mine = watch.seen().filter((event) => event.body["container_id"] === id);
  expect(mine.map((event) => event.topic)).toEqual(["/tasks/exit", "/tasks/delete"]);
  expect(mine[0]?.body).toMatchObject({ id, pid, exit_status: 137 });
  await watch.stop();
  await until("the task is gone", async () => (await task(id)) === undefined);
  await until("the process is gone", () => !alive(pid));
  await until("nothing of it is mounted", () => leftMounts(id).length === 0);
  await ctr("containers", "rm", id);
  if (h.daemon.kind === "containerd") removeShimSocket(h.daemon, id);
  expect((await task(other.id))?.["STATUS"]).toBe("RUNNING");
  expect(await h.daemon.ctr(["run", "--rm", h.image, h.daemon.id("next"), "echo", "goes on"])).toBe("goes on\n");
});

test("5: a shim killed while the daemon was away is cleaned up at its restart", async () => {
  const { id, pid } = await detached("both");
  await h.daemon.kill9();
  process.kill(shimPid(h.daemon, id), "SIGKILL");
  await h.daemon.restart();
  await until("the task is gone", async () => (await task(id)) === undefined);
  await until("the process is gone", () => !alive(pid));
  await until("nothing of it is mounted", () => leftMounts(id).length === 0);
  await ctr("containers", "rm", id);
  if (h.daemon.kind === "containerd") removeShimSocket(h.daemon, id);
});
