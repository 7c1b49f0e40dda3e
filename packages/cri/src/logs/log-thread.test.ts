import { silentLogger } from "@ctrd/core/log";
import type { Logger } from "@ctrd/core/log";
import { mkfifo } from "@ctrd/sys";
import { mustRun, tempDir } from "@ctrd/testkit/fixtures";
import type { TempDir } from "@ctrd/testkit/fixtures";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, openSync } from "node:fs";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { OutputName } from "./line-writer.ts";
import { LogThread } from "./log-thread.ts";
import type { LoggedOutputs } from "./logged-outputs.ts";

let directory: TempDir;
let path: string;
let fifos: { stdout: string; stderr: string };
let thread: LogThread;
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = await tempDir("logs-");
  path = join(directory.path, "0.log");
  fifos = { stdout: join(directory.path, "out"), stderr: join(directory.path, "err") };
  for (const each of Object.values(fifos)) mkfifo(each, 0o600);
  thread = new LogThread(silentLogger);
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await thread.close();
  await directory[Symbol.asyncDispose]();
});

interface ReadOptions {
  readonly take?: (name: OutputName, chunk: Buffer) => Promise<void>;
  readonly log?: Logger;
  readonly file?: string;
}

const read = (options: ReadOptions = {}): Promise<LoggedOutputs> =>
  thread.open(
    { ...fifos, target: { path: options.file ?? path, maxLine: 16384 }, watched: false },
    { output: options.take ?? (async () => {}), log: options.log ?? silentLogger },
  );

/** Runs a script, whose outputs are the FIFOs. */
function say(script: string): ChildProcess {
  const child = spawn("sh", ["-c", `exec >${fifos.stdout} 2>${fifos.stderr}; ${script}`], { stdio: "ignore" });
  children.push(child);
  return child;
}

/** What the lines of a log say, of one output. */
async function saidIn(file: string, name: OutputName = "stdout"): Promise<string[]> {
  const text = await readFile(file, "utf8");
  expect(text === "" || text.endsWith("\n")).toBe(true);
  return [...text.matchAll(new RegExp(`^\\S+ ${name} F (.*)$`, "gm"))].map(([, line]) => line as string);
}

const counted = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index + 1));

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("not in time");
    await sleep(5);
  }
}

it("writes all output of a process down before it says that it has ended", async () => {
  const outputs = await read();
  say("seq 1 300000 & seq 1 1000 >&2; wait");
  await outputs.ended;
  expect(await saidIn(path)).toEqual(counted(300_000));
  expect(await saidIn(path, "stderr")).toEqual(counted(1_000));
  expect(await outputs.progress()).toEqual({ bytes: 0, waiting: false });
  await expect(outputs.reopen()).rejects.toMatchObject({ kind: "failed-precondition" });
});

it("has logs of several containers, each with what is its own", async () => {
  const many = await Promise.all(
    Array.from({ length: 8 }, async (_, index) => {
      const file = join(directory.path, `${index}.log`);
      const fifo = join(directory.path, `out-${index}`);
      mkfifo(fifo, 0o600);
      const outputs = await thread.open(
        { stdout: fifo, stderr: "", target: { path: file, maxLine: 16384 }, watched: false },
        { output: async () => {}, log: silentLogger },
      );
      const running = mustRun("sh", ["-c", `seq ${index + 1} 8 80000 >${fifo}`]);
      return { file, outputs, running, index };
    }),
  );
  for (const { file, outputs, running, index } of many) {
    await running;
    await outputs.ended;
    expect(await saidIn(file)).toEqual(Array.from({ length: 10_000 }, (_, at) => String(index + 1 + 8 * at)));
  }
});

it("tells why a log cannot be opened, and leaves the FIFOs alone then", async () => {
  await expect(read({ file: join(directory.path, "no/such/0.log") })).rejects.toMatchObject({ code: "ENOENT" });
  expect(() => openSync(fifos.stdout, constants.O_WRONLY | constants.O_NONBLOCK)).toThrow("ENXIO");
  await mustRun("rm", [fifos.stderr]);
  await expect(read()).rejects.toMatchObject({ code: "ENOENT" });
  expect(() => openSync(fifos.stdout, constants.O_WRONLY | constants.O_NONBLOCK)).toThrow("ENXIO");
});

it("goes on in a new file without losing a line", async () => {
  const outputs = await read();
  say("seq 1 1000000");
  const files: string[] = [];
  for (let index = 0; index < 5; index++) {
    const old = join(directory.path, `old-${index}`);
    await until(async () => (await outputs.progress()).bytes > index * 500_000);
    await rename(path, old);
    await outputs.reopen();
    files.push(old);
  }
  await outputs.ended;
  const all = (await Promise.all([...files, path].map((file) => saidIn(file)))).flat();
  expect(all).toEqual(counted(1_000_000));
});

it("hands output on while it is watched, and reads no more than watchers take", async () => {
  let taken = "";
  let release = (): void => {};
  const outputs = await read({
    take: async (_, chunk) => {
      taken += chunk.toString();
      if (taken.length < 100_000) await new Promise<void>((resolve) => (release = resolve));
    },
  });
  await outputs.watch(true);
  const child = say("seq 1 1000000");
  // 6.9 MB, of which only what may wait for the watcher is read.
  let before = -1;
  await until(async () => {
    const { bytes, waiting } = await outputs.progress();
    const still = bytes === before;
    before = bytes;
    if (!still) await sleep(100);
    return still && waiting;
  });
  expect(before).toBeLessThan(1_500_000);
  expect(child.exitCode).toBe(null);
  const releasing = setInterval(() => release(), 1);
  await outputs.ended;
  clearInterval(releasing);
  expect(taken).toBe(`${counted(1_000_000).join("\n")}\n`);
  expect((await saidIn(path)).length).toBe(1_000_000);
});

it("goes on when a watcher leaves that has taken nothing", async () => {
  const outputs = await read({ take: () => new Promise(() => {}) });
  await outputs.watch(true);
  say("seq 1 1000000");
  await until(async () => (await outputs.progress()).waiting);
  await outputs.watch(false);
  await until(async () => (await saidIn(path)).length === 1_000_000);
});

it("stops with whole lines, and what is in the FIFOs is there for the next", async () => {
  const keeper = await open(fifos.stdout, constants.O_RDWR | constants.O_NONBLOCK);
  const outputs = await read();
  const child = say("seq 1 400000; sleep 0.2; printf 'half of '; sleep 0.3; printf 'a line\\n'; seq 1 10");
  await until(async () => (await outputs.progress()).bytes > 1_000_000);
  await thread.close();
  await outputs.ended;
  const before = await readFile(path, "utf8");
  expect(before.endsWith("\n")).toBe(true);
  await expect(read()).rejects.toMatchObject({ kind: "failed-precondition" });
  thread = new LogThread(silentLogger);
  const more = await read();
  await once(child, "exit");
  await keeper.close();
  await more.ended;
  // The line at which it stopped, if any, is in two pieces.
  const text = (await readFile(path, "utf8")).replaceAll(/^\S+ stdout P (.*)\n\S+ stdout F /gm, "x stdout F $1");
  const lines = [...text.matchAll(/stdout F (.*)$/gm)].map(([, line]) => line);
  expect(lines).toEqual([...counted(400_000), "half of a line", ...counted(10)]);
});

it("is replaced when it fails, and output goes on", async () => {
  const started: Worker[] = [];
  const note = (worker: Worker): void => void started.push(worker);
  process.on("worker", note);
  try {
    const messages: string[] = [];
    const log = { ...silentLogger, warn: (_: object, message: string) => void messages.push(message) };
    thread = new LogThread(log);
    let watched = "";
    const outputs = await read({ take: async (_, chunk) => void (watched += chunk.toString()) });
    await outputs.watch(true);
    const keeper = await open(fifos.stdout, constants.O_RDWR | constants.O_NONBLOCK);
    say("echo before");
    await until(() => watched === "before\n");
    await until(async () => (await saidIn(path)).length === 1);
    await started[0]?.terminate();
    expect(await outputs.progress()).toEqual({ bytes: 0, waiting: true });
    await expect(outputs.reopen()).rejects.toMatchObject({ kind: "unavailable" });
    await keeper.write("meanwhile\n");
    await until(() => watched === "before\nmeanwhile\n");
    expect(messages).toEqual(["another thread writes logs of containers on"]);
    await outputs.reopen();
    await keeper.close();
    // The end of this one was seen by the thread that failed.
    await mustRun("sh", ["-c", `: >${fifos.stderr}`]);
    await outputs.ended;
    expect(await saidIn(path)).toEqual(["before", "meanwhile"]);
    expect(started.length).toBe(2);
  } finally {
    process.off("worker", note);
  }
});

it("hands on the beginning of each output only, and throws the rest away", async () => {
  const taken = { stdout: 0, stderr: "" };
  const outputs = await thread.open(
    { ...fifos, target: undefined, watched: true, limit: 100_000 },
    {
      log: silentLogger,
      output: async (name, chunk) => {
        if (name === "stdout") taken.stdout += chunk.length;
        else taken.stderr += chunk.toString();
      },
    },
  );
  say("head -c 200000000 /dev/zero; echo late >&2");
  await outputs.ended;
  expect(taken).toEqual({ stdout: 100_000, stderr: "late\n" });
});
