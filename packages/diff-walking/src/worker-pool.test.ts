import { execFile } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { tarBuffer } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ApplyJob } from "./jobs.ts";
import { WorkerPool } from "./worker-pool.ts";

let dir: string;
const listener = { signal: new AbortController().signal };
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "ctrd-pool-"));
  fs.writeFileSync(join(dir, "layer"), tarBuffer([{ path: "file", data: "x" }]));
});
afterEach(() => {
  vi.restoreAllMocks();
  fs.rmSync(dir, { recursive: true });
});

function job(): ApplyJob {
  const target = { kind: "directory" as const, root: fs.mkdtempSync(join(dir, "root-")), overlay: false, lowers: [] };
  return { kind: "apply", path: join(dir, "layer"), target, temporary: join(dir, "tmp"), syncFs: false, limits: {} };
}

/** Threads of this process that are the pool's. */
function threads(): number {
  const tasks = fs.readdirSync("/proc/self/task");
  return tasks.filter((id) => fs.readFileSync(`/proc/self/task/${id}/comm`, "utf8").startsWith("ctrd-differ")).length;
}

describe("WorkerPool", () => {
  it("lets workers end by themselves and never breaks them off", async () => {
    const terminate = vi.spyOn(Worker.prototype, "terminate");
    const pool = new WorkerPool({ size: 2, idleTime: 60_000 });
    await Promise.all([1, 2, 3].map(() => pool.run(job(), listener)));
    expect(threads()).toBe(2);
    await pool.close();
    expect(threads()).toBe(0);
    expect(terminate).not.toHaveBeenCalled();
  });

  it("ends idle workers after a while and starts others when needed", async () => {
    const pool = new WorkerPool({ size: 2, idleTime: 50 });
    await pool.run(job(), listener);
    expect(threads()).toBe(1);
    await vi.waitFor(() => expect(threads()).toBe(0), { timeout: 5000 });
    expect((await pool.run(job(), listener)).entries).toBe(1);
    await pool.close();
  });

  it.each([
    ["does not keep the process alive with idle workers", "", "applied 1\n"],
    ["keeps it alive until it is closed", "await pool.close(); console.log('closed');", "applied 1\nclosed\n"],
  ])("%s", async (_, after, output) => {
    const url = new URL("./worker-pool.ts", import.meta.url).href;
    const program = join(dir, "program.mjs");
    fs.writeFileSync(
      program,
      `const { WorkerPool } = await import(${JSON.stringify(url)});
      const pool = new WorkerPool({ size: 1, idleTime: 60_000 });
      const { entries } = await pool.run(${JSON.stringify(job())}, { signal: new AbortController().signal });
      console.log("applied", entries);
      ${after}`,
    );
    const args = ["--conditions=ctrd-source", program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
    expect(stdout).toBe(output);
  });

  it("does not give a job to a worker that another job has made crash", async () => {
    const flag = join(dir, "crashed");
    const module = join(dir, "worker.mjs");
    fs.writeFileSync(
      module,
      `import { existsSync, writeFileSync } from "node:fs";
      import { parentPort } from "node:worker_threads";
      parentPort.on("message", ({ type }) => {
        if (type === "stop") return parentPort.close();
        if (existsSync(${JSON.stringify(flag)})) return parentPort.postMessage({ type: "done", result: { entries: 1 } });
        writeFileSync(${JSON.stringify(flag)}, "");
        throw new Error("crash");
      });`,
    );
    const pool = new WorkerPool({ size: 1, idleTime: 60_000, module: pathToFileURL(module) });
    const [first, second] = await Promise.allSettled([pool.run(job(), listener), pool.run(job(), listener)]);
    expect(first).toMatchObject({ status: "rejected", reason: { message: "crash" } });
    expect(second).toMatchObject({ status: "fulfilled", value: { entries: 1 } });
    await pool.close();
  });
});
