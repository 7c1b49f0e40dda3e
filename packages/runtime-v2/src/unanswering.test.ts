import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TaskDefinition } from "@ctrd/api/runtime/task/v3/shim";
import { ContainerdError } from "@ctrd/core/errors";
import { TtrpcServer } from "@ctrd/ttrpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TestIo } from "../test/harness.ts";
import { Harness, isAlive, until } from "../test/harness.ts";
import type { ShimRuntime } from "./runtime.ts";

let harness: Harness;
let runtime: ShimRuntime;
let io: TestIo;
let server: TtrpcServer;

const shim = (): string => join(harness.dir, "bin/containerd-shim-fault-v1");
const socket = (): string => join(harness.dir, "shim.sock");
const answer = (): string => `printf '{"version":3,"address":"unix://${socket()}","protocol":"ttrpc"}'`;

/** A shim whose `start` does what is said, and whose `delete` leaves a mark. */
function writeShim(start: string): void {
  mkdirSync(join(harness.dir, "bin"), { recursive: true });
  const script = `#!/bin/sh
for last; do :; done
case "$last" in
  start) ${start};;
  delete) echo > ${harness.dir}/deleted;;
esac
`;
  writeFileSync(shim(), script);
  chmodSync(shim(), 0o755);
}

/** What a create says that fails, and that it took no more time than it may. */
async function failedCreate(): Promise<string> {
  const options = { ...harness.createOptions("t", io, { args: ["true"] }), runtime: "io.containerd.fault.v1" };
  const since = performance.now();
  const error: unknown = await runtime.create(harness.ctx, "t", options).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(performance.now() - since).toBeLessThan(10_000);
  if (!(error instanceof ContainerdError)) throw new Error(`no ContainerdError: ${String(error)}`);
  return `${error.kind}: ${error.message}`;
}

beforeEach(async () => {
  harness = await Harness.open();
  io = harness.io();
  server = new TtrpcServer();
  runtime = await harness.runtime({
    searchPath: join(harness.dir, "bin"),
    timeouts: new Map([
      ["io.ctrd.timeout.shim.start", 600],
      ["io.ctrd.timeout.shim.create", 400],
      ["io.containerd.timeout.shim.shutdown", 200],
    ]),
  });
});

afterEach(async () => {
  expect(await runtime.list(harness.ctx, true)).toEqual([]);
  expect(existsSync(join(harness.stateDir, harness.namespace, "t"))).toBe(false);
  await runtime.close();
  server.close();
  io.close();
  await harness.close();
});

describe("a shim that does not answer", () => {
  const says = (stage: string, key: string, seconds: number): string =>
    `deadline-exceeded: shim ${shim()} did not answer in the stage "${stage}" for ${seconds} s; see what it does (its log ` +
    `is in the daemon's), or allow more time by "io.ctrd.timeout.shim.${key}" in [timeouts]: context deadline exceeded`;

  it("is killed in its start", async () => {
    writeShim(`echo $$ > ${harness.dir}/pid; exec sleep 1000`);
    expect(await failedCreate()).toBe(says("start", "start", 0.6));
    const pid = Number(readFileSync(join(harness.dir, "pid"), "utf8"));
    await until("the end of start", async () => !(await isAlive(pid)));
  });

  it("is killed when it never serves its socket", async () => {
    writeShim(`sleep 1000 >/dev/null 2>&1 & echo $! > ${harness.dir}/pid; ${answer()}`);
    expect(await failedCreate()).toBe(says("connect", "start", 0.6));
    const pid = Number(readFileSync(join(harness.dir, "pid"), "utf8"));
    await until("the end of the shim", async () => !(await isAlive(pid)));
  });

  it("is killed in Create, and its binary deletes what it may have made", async () => {
    server.register(TaskDefinition, { create: () => new Promise(() => {}) });
    await server.listen(socket());
    writeShim(`sleep 1000 >/dev/null 2>&1 & echo $! > ${harness.dir}/pid; ${answer()}`);
    expect(await failedCreate()).toBe(says("Create", "create", 0.4));
    const pid = Number(readFileSync(join(harness.dir, "pid"), "utf8"));
    await until("the end of the shim", async () => !(await isAlive(pid)));
    expect(existsSync(join(harness.dir, "deleted"))).toBe(true);
    expect(harness.logLines.join("\n")).toContain("killed shim that did not answer");
  });
});

it("a deadline that the shim itself reports is not taken for its silence", async () => {
  server.register(TaskDefinition, {
    create: () => Promise.reject(new ContainerdError("deadline-exceeded", "a hook")),
    kill: () => Promise.reject(new ContainerdError("not-found", "t")),
    delete: () => Promise.reject(new ContainerdError("not-found", "t")),
  });
  await server.listen(socket());
  writeShim(answer());
  expect(await failedCreate()).toBe("deadline-exceeded: a hook: context deadline exceeded");
});
