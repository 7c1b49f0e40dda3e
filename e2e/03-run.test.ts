/** Shows 3: ctr run in all its forms. */
import { chmodSync, copyFileSync, createReadStream, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { randomBytesOf } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exited, findProgram, runOk, sha256, until } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { leftMounts } from "./support/leaks.ts";
import { peerTest } from "./support/peers.ts";
import { tableRows } from "./support/table.ts";
import { openTerminal } from "./support/terminal.ts";

let h: Harness;
beforeAll(async () => (h = await openHarness("run")));
afterAll(() => h?.close());

const ctr = (...args: string[]): Promise<string> => h.daemon.ctr(args);
const runRm = (name: string, flags: string[], command: string[]): Promise<string> =>
  ctr("run", "--rm", ...flags, h.image, h.daemon.id(name), ...command);

async function remove(id: string): Promise<void> {
  await ctr("tasks", "rm", "-f", id);
  await ctr("containers", "rm", id);
}

test("3: run --rm prints stdout and stderr, and leaves neither task, container, snapshot nor mount", async () => {
  const id = h.daemon.id("rm");
  const result = await h.daemon.tryCtr(["run", "--rm", h.image, id, "sh", "-c", "echo out; echo err >&2"]);
  expect(result).toMatchObject({ code: 0, stdout: "out\n", stderr: "err\n" });
  expect(await ctr("tasks", "ls", "-q")).toBe("");
  expect(await ctr("containers", "ls", "-q")).toBe("");
  expect(tableRows(await ctr("snapshots", "ls")).map((row) => row["KEY"])).not.toContain(id);
  expect(leftMounts(h.daemon.dir)).toEqual([]);
});

test("3: exit code 42 comes through", async () => {
  const id = h.daemon.id("exit");
  expect((await h.daemon.tryCtr(["run", "--rm", h.image, id, "sh", "-c", "exit 42"])).code).toBe(42);
});

test("3: run -d returns at once and the task runs on", async () => {
  const id = h.daemon.id("detached");
  const pidFile = h.path("pid");
  expect(await ctr("run", "-d", "--pid-file", pidFile, h.image, id, "sleep", "1000")).toBe("");
  const [row] = tableRows(await ctr("tasks", "ls"));
  expect(row).toEqual({ TASK: id, PID: readFileSync(pidFile, "utf8"), STATUS: "RUNNING" });
  expect(readFileSync(`/proc/${row?.["PID"]}/cmdline`, "utf8")).toBe("sleep\x001000\x00");
  await remove(id);
});

peerTest("3: run -t gives a real pty whose size follows the terminal", ["tmux"], async () => {
  const id = h.daemon.id("tty");
  await using terminal = await openTerminal(h.path("tmux"), 80, 24);
  await terminal.type(`ctr ${h.daemon.flags().join(" ")} run --rm -t ${h.image} ${id} sh`);
  await terminal.waitFor(/\/ # ?$/m);
  await terminal.type("tty; stty size; test -t 0 && echo is-a-tty");
  // The line that was typed ends so as well.
  await terminal.waitFor(/^is-a-tty$/m);
  expect(terminal.screen()).toMatch(/\/dev\/(pts\/0|console)\n24 80\n/);
  await terminal.resize(120, 40);
  await terminal.type("while test \"$(stty size)\" != '40 120'; do sleep 0.05; done; echo resized to $(stty size)");
  await terminal.waitFor(/^resized to 40 120$/m);
  await terminal.type("exit 7");
  await terminal.waitFor(/\$ ?$/m);
  await terminal.type("echo status $?");
  await terminal.waitFor(/status 7\n/);
});

test("3: --rootfs runs a directory without image or snapshot", async () => {
  const rootfs = h.path("rootfs");
  for (const dir of ["", "/bin", "/proc", "/dev", "/sys", "/etc"]) mkdirSync(rootfs + dir);
  copyFileSync(findProgram("busybox") ?? "", `${rootfs}/bin/busybox`);
  writeFileSync(`${rootfs}/mark`, "plain directory\n");
  const output = await ctr("run", "--rm", "--rootfs", rootfs, h.daemon.id("rootfs"), "/bin/busybox", "cat", "/mark");
  expect(output).toBe("plain directory\n");
  expect(leftMounts(h.daemon.dir)).toEqual([]);
});

test("3: --snapshotter native", async () => {
  await ctr("images", "pull", "--plain-http", "--snapshotter", "native", h.image);
  const output = await runRm(
    "native",
    ["--snapshotter", "native"],
    ["sh", "-c", "echo x > /file; cat /file; mount | head -1"],
  );
  expect(output).toMatch(/^x\n/);
  expect(output).not.toMatch(/^overlay on \/ /m);
  expect(tableRows(await ctr("snapshots", "--snapshotter", "native", "ls")).length).toBe(1);
});

test("3: --runc-binary with another path is the program that runs", async () => {
  const log = h.path("runc-calls");
  const wrapper = h.path("other-runc");
  writeFileSync(wrapper, `#!/bin/sh\necho "$@" >> ${log}\nexec ${findProgram("runc")} "$@"\n`);
  chmodSync(wrapper, 0o755);
  expect(await runRm("runc", ["--runc-binary", wrapper], ["echo", "through"])).toBe("through\n");
  const calls = readFileSync(log, "utf8");
  expect(calls).toMatch(/ create --bundle /);
  expect(calls).toMatch(/ start /);
  expect(calls).toMatch(/ delete /);
});

test("3: --env, --cwd, --label, --mount", async () => {
  const dir = h.path("shared");
  mkdirSync(dir);
  writeFileSync(`${dir}/in`, "from outside\n");
  const flags = [
    "--env",
    "FOO=bar baz",
    "--cwd",
    "/tmp",
    "--mount",
    `type=bind,src=${dir},dst=/shared,options=rbind:rw`,
  ];
  const output = await runRm("env", flags, ["sh", "-c", 'echo "$FOO"; pwd; cat /shared/in; echo inside > /shared/out']);
  expect(output).toBe("bar baz\n/tmp\nfrom outside\n");
  expect(readFileSync(`${dir}/out`, "utf8")).toBe("inside\n");
});

test("3: --memory-limit is set on the cgroup and kills the one that exceeds it", async () => {
  const limit = 32 * 1024 * 1024;
  const id = h.daemon.id("mem");
  await ctr("run", "-d", "--memory-limit", String(limit), h.image, id, "sleep", "1000");
  expect(readFileSync(`/sys/fs/cgroup/memory/${h.daemon.namespace}/${id}/memory.limit_in_bytes`, "utf8")).toBe(
    `${limit}\n`,
  );
  expect(
    (JSON.parse(await ctr("tasks", "metrics", "--format", "json", id)) as { memory: { usage: { limit: number } } })
      .memory.usage.limit,
  ).toBe(limit);
  await remove(id);
  const greedy = [
    "run",
    "--rm",
    "--memory-limit",
    String(limit),
    h.image,
    h.daemon.id("oom"),
    "sh",
    "-c",
    "exec tail /dev/zero",
  ];
  expect((await h.daemon.tryCtr(greedy)).code).toBe(137);
});

test("3: 100 MB through cat comes back with the same sha256", async () => {
  const size = 100 * 1024 * 1024;
  const file = h.path("big");
  writeFileSync(file, randomBytesOf("pipe", size));
  const child = h.daemon.spawnCtr(["run", "--rm", h.image, h.daemon.id("cat"), "cat"]);
  const hash = createHash("sha256");
  let received = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    received += chunk.length;
  });
  if (child.stdin === null) throw new Error("ctr has no stdin");
  createReadStream(file, { highWaterMark: 1 << 20 }).pipe(child.stdin);
  expect(await exited(child)).toBe(0);
  expect(received).toBe(size);
  expect(hash.digest("hex")).toBe(sha256(readFileSync(file)));
});

test("3: 20 at once", async () => {
  const outputs = await Promise.all(
    Array.from({ length: 20 }, (_, i) => runRm(`many${i}`, [], ["sh", "-c", `echo ${i}; sleep 0.5`])),
  );
  expect(outputs).toEqual(Array.from({ length: 20 }, (_, i) => `${i}\n`));
  expect(await ctr("containers", "ls", "-q")).toBe("");
  expect(leftMounts(h.daemon.dir)).toEqual([]);
  await until(
    "no shim is left",
    async () => !(await runOk("ps", ["-eo", "args"])).includes(`-namespace ${h.daemon.namespace} `),
  );
}, 120_000);
