import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import { mkfifo } from "@ctrd/sys";
import { mustRun, tempDir } from "@ctrd/testkit/fixtures";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { readFile, rename, rm, stat, truncate } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ContainerLog } from "./container-log.ts";

let directory: TempDir;
let path: string;

beforeEach(async () => {
  directory = await tempDir("log-");
  path = join(directory.path, "0.log");
});

afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

const open = (options: { maxLine?: number; log?: Logger; closeTimeoutMs?: number } = {}): Promise<ContainerLog> =>
  ContainerLog.open({ path, maxLine: 16, log: silentLogger, ...options });

/** Lines of the log without their times. */
async function lines(file = path): Promise<string[]> {
  const text = await readFile(file, "utf8");
  if (text === "") return [];
  expect(text.endsWith("\n")).toBe(true);
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => {
      const [, rest] = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d) (.*)$/s.exec(line) ?? [];
      if (rest === undefined) throw new Error(`not a line of a CRI log: ${line}`);
      return rest;
    });
}

/** A logger that keeps what it gets. */
function recorder(): { log: Logger; messages: { fields: Record<string, unknown>; message: string }[] } {
  const messages: { fields: Record<string, unknown>; message: string }[] = [];
  return { messages, log: { ...silentLogger, warn: (fields, message) => void messages.push({ fields, message }) } };
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("not in time");
    await sleep(5);
  }
}

async function writeAll(log: ContainerLog, text: string, name: "stdout" | "stderr" = "stdout"): Promise<void> {
  await log.write(name, Buffer.from(text));
}

describe("lines", () => {
  it("carry their stream, and are whole whatever comes between", async () => {
    const log = await open();
    await writeAll(log, "one\ntw");
    await writeAll(log, "err\n", "stderr");
    await writeAll(log, "o\n\n");
    await log.close();
    expect(await lines()).toEqual(["stdout F one", "stderr F err", "stdout F two", "stdout F "]);
  });

  it("that are too long come in pieces; one of just the greatest length does not", async () => {
    const log = await open();
    await writeAll(log, `${"a".repeat(16)}\n${"b".repeat(17)}\n${"c".repeat(40)}\n`);
    await log.close();
    const [a, b, c] = ["a".repeat(16), "b".repeat(16), "c".repeat(16)];
    expect(await lines()).toEqual([
      `stdout F ${a}`,
      `stdout P ${b}`,
      "stdout F b",
      `stdout P ${c}`,
      `stdout P ${c}`,
      `stdout F ${"c".repeat(8)}`,
    ]);
  });

  it("lose one return before their newline, wherever the output is cut", async () => {
    const log = await open();
    for (const part of ["a\r\n", "b\r", "\n", `${"c".repeat(16)}\r`, "\n", "d\r\r\n", "e\rf\n", "\r\n"]) {
      await writeAll(log, part);
    }
    await log.close();
    const c = "c".repeat(16);
    expect(await lines()).toEqual([
      "stdout F a",
      "stdout F b",
      `stdout F ${c}`,
      "stdout F d\r",
      "stdout F e\rf",
      "stdout F ",
    ]);
  });

  it("without a newline at the end are pieces", async () => {
    const log = await open();
    await writeAll(log, "out");
    await writeAll(log, "err", "stderr");
    log.end("stderr");
    await log.close();
    expect(await lines()).toEqual(["stderr P err", "stdout P out"]);
  });

  it("may have any length when none is set", async () => {
    const log = await open({ maxLine: 0 });
    const long = "x".repeat(1_000_000);
    for (let at = 0; at < long.length; at += 65_536) await writeAll(log, long.slice(at, at + 65_536));
    await writeAll(log, "\n");
    await log.close();
    expect(await lines()).toEqual([`stdout F ${long}`]);
  });

  it("are the same however the output is cut", async () => {
    const random = (below: number): number => Math.floor(Math.random() * below);
    for (let round = 0; round < 50; round++) {
      const alphabet = ["\n", "\r\n", "\r", "a", "bc", "d".repeat(15), "e".repeat(16), "f".repeat(33)];
      const text = Array.from({ length: 60 }, () => alphabet[random(alphabet.length)]).join("");
      const log = await open();
      for (let at = 0; at < text.length;) {
        const end = at + 1 + random(40);
        await writeAll(log, text.slice(at, end));
        at = end;
      }
      await log.close();
      expect(await lines(), JSON.stringify(text)).toEqual(expected(text));
      await rm(path);
    }
  });
});

/** The format's rules once more, for a text that is there as a whole. */
function expected(text: string): string[] {
  const parts = text.split("\n");
  const rest = parts.pop() as string;
  const cut = (line: string, tag: string): string[] => {
    const pieces = line.match(/.{1,16}/gs) ?? [""];
    return pieces.map((piece, index) => `stdout ${index === pieces.length - 1 ? tag : "P"} ${piece}`);
  };
  return [...parts.flatMap((line) => cut(line.replace(/\r$/, ""), "F")), ...(rest === "" ? [] : cut(rest, "P"))];
}

describe("the file", () => {
  it("goes on where it was, and only its owner and group read it", async () => {
    for (const text of ["first\n", "second\n"]) {
      const log = await open();
      await writeAll(log, text);
      await log.close();
    }
    expect(await lines()).toEqual(["stdout F first", "stdout F second"]);
    expect((await stat(path)).mode & 0o137).toBe(0);
  });

  it("loses and tears no line when it is exchanged while output comes", async () => {
    const log = await open({ maxLine: 16384 });
    const count = 200_000;
    const write = async (): Promise<void> => {
      for (let at = 0; at < count; at += 100) {
        const text = Array.from({ length: 100 }, (_, index) => `line ${at + index}\n`).join("");
        await log.write("stdout", Buffer.from(text));
        if (at % 1_000 === 0) await sleep(0);
      }
    };
    const writing = write();
    const files: string[] = [];
    for (let index = 0; index < 10; index++) {
      await sleep(5);
      const old = join(directory.path, `old-${index}`);
      await rename(path, old);
      files.push(old);
      await log.reopen();
    }
    await writing;
    await log.close();
    const all = (await Promise.all([...files, path].map((file) => lines(file)))).flat();
    expect(all.length).toBe(count);
    expect(all.every((line, index) => line === `stdout F line ${index}`)).toBe(true);
  });

  it("is exchanged although output never pauses, and not once it is closed", async () => {
    const log = await open({ maxLine: 16384 });
    let over = false;
    const write = async (): Promise<void> => {
      for (const chunk = Buffer.from("y\n".repeat(20_000)); !over;) await log.write("stdout", chunk);
    };
    const writing = write();
    await rename(path, join(directory.path, "old"));
    await log.reopen();
    over = true;
    await writing;
    await log.close();
    expect((await lines()).length).toBeGreaterThan(0);
    await expect(log.reopen()).rejects.toMatchObject({ kind: "failed-precondition" });
  });

  it("is kept when the new one cannot be opened", async () => {
    const log = await open();
    await rename(path, join(directory.path, "old"));
    await mustRun("mkdir", [path]);
    await expect(log.reopen()).rejects.toThrow("EISDIR");
    await writeAll(log, "still here\n");
    await log.close();
    expect(await lines(join(directory.path, "old"))).toEqual(["stdout F still here"]);
  });

  /** Runs `body` with the log on a disk of 256 KiB, and 1 MB written to it. */
  async function onFullDisk(
    body: (log: ContainerLog, messages: ReturnType<typeof recorder>["messages"]) => Promise<void>,
  ): Promise<void> {
    const disk = join(directory.path, "disk");
    await mustRun("mkdir", [disk]);
    await mustRun("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]);
    try {
      path = join(disk, "0.log");
      const { log: logger, messages } = recorder();
      const log = await open({ maxLine: 16384, log: logger });
      for (let index = 0; index < 1_000; index++) await writeAll(log, `${index} ${"x".repeat(1_000)}\n`);
      await body(log, messages);
    } finally {
      await mustRun("umount", [disk]);
    }
  }

  it("that is on a full disk loses lines, whole ones, and goes on when there is space", async () => {
    await onFullDisk(async (log, messages) => {
      await until(() => messages.length > 0);
      expect(messages[0]).toMatchObject({ message: "log of a container not written, its lines get lost" });
      await truncate(path, 0);
      await until(async () => {
        await writeAll(log, "there is space again\n");
        return (await lines()).includes("stdout F there is space again");
      });
      await log.close();
    });
  });

  it("tells how many lines a full disk has cost", async () => {
    await onFullDisk(async (log, messages) => {
      await log.close();
      const kept = await lines();
      expect(kept.length).toBeGreaterThan(0);
      const lost = messages.find(({ message }) => message === "lines of a container's log were lost");
      expect(lost?.fields["lines"]).toBe(1_000 - kept.length);
    });
  });
});

describe("a disk that does not answer", () => {
  /** A FIFO in place of the file: who writes to it stands still until somebody reads. */
  let reader: number;

  beforeEach(() => {
    mkfifo(path, 0o600);
    reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  });

  afterEach(() => closeSync(reader));

  it("holds the container up, with bounded memory, until it does", async () => {
    const log = await open({ maxLine: 16384 });
    const chunk = Buffer.from(`${"x".repeat(1_023)}\n`.repeat(64));
    let held: Promise<void> | undefined;
    let accepted = 0;
    for (; held === undefined && accepted < 1_000; accepted++) held = log.write("stdout", chunk);
    expect(accepted).toBeLessThan(40);
    const socket = new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK) });
    let read = 0;
    socket.on("data", (bytes: Buffer) => (read += bytes.length));
    await held;
    await log.close();
    await until(() => read >= accepted * chunk.length);
    socket.destroy();
  });

  it("does not keep a log from being closed", async () => {
    const { log: logger, messages } = recorder();
    const log = await open({ maxLine: 16384, log: logger, closeTimeoutMs: 100 });
    void log.write("stdout", Buffer.from(`${"x".repeat(1_023)}\n`.repeat(512)));
    await log.close();
    expect(messages.map(({ message }) => message)).toEqual(["the disk takes the end of a container's log too slowly"]);
    // Lets the write end, which would hold this process.
    const socket = new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK) });
    let read = 0;
    socket.on("data", (bytes: Buffer) => (read += bytes.length));
    await until(() => read >= 512 * 1_024);
    socket.destroy();
  });
});

it("takes the output of a process through FIFOs", async () => {
  const log = await open({ maxLine: 16384 });
  const fifos = { stdout: join(directory.path, "out"), stderr: join(directory.path, "err") };
  const reading = (["stdout", "stderr"] as const).map(async (name) => {
    mkfifo(fifos[name], 0o600);
    const fd = openSync(fifos[name], constants.O_RDONLY | constants.O_NONBLOCK);
    for await (const chunk of new Socket({ fd })) await log.write(name, chunk as Buffer);
  });
  const script = `seq 1 300000 >${fifos.stdout} & seq 1 1000 >${fifos.stderr}; wait`;
  await mustRun("sh", ["-c", script]);
  await Promise.all(reading);
  await log.close();
  const all = await lines();
  const of = (name: string): number[] =>
    all.filter((line) => line.startsWith(`${name} F `)).map((line) => Number(line.slice(9)));
  expect(of("stdout")).toEqual(Array.from({ length: 300_000 }, (_, index) => index + 1));
  expect(of("stderr")).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
});

it("writes the local time with its zone, and times never go back", async () => {
  const script = `
    const { LogClock } = await import(${JSON.stringify(join(import.meta.dirname, "timestamp.ts"))});
    const clock = new LogClock();
    let before = Date.now(), last = "";
    for (let i = 0; i < 100000; i++) {
      const time = clock.now();
      if (!/^2\\d{3}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{0,8}[1-9])?-09:30$/.test(time)) throw new Error(time);
      const padded = time.slice(0, 19) + (time.slice(19, -6) || ".").padEnd(10, "0");
      if (padded < last) throw new Error(padded + " comes after " + last);
      last = padded;
      if (Math.abs(Date.parse(time) - Date.now()) > 10_000) throw new Error("off: " + time);
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    env: { ...process.env, TZ: "Pacific/Marquesas" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  const code = await new Promise((resolve) => void child.once("exit", resolve));
  expect(code).toBe(0);
});
