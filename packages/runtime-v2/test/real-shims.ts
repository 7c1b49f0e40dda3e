/**
 * What tests with real shims share: a runtime before each test, and a check that nothing is left after it.
 */
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { ContainerdError } from "@ctrd/core/errors";
import type { Task } from "@ctrd/core/tasks";
import type { LeakCheck } from "@ctrd/testkit/fixtures";
import { leakCheck } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, expect } from "vitest";
import { usualSocketAddress } from "../src/address.ts";
import type { ShimRuntime } from "../src/runtime.ts";
import type { SpecOptions, TestIo } from "./harness.ts";
import { Harness } from "./harness.ts";

/** Of the running test. */
export const rt = {} as { harness: Harness; runtime: ShimRuntime; leaks: LeakCheck; ios: TestIo[] };

/** Opens a runtime before each test of the calling file. */
export function useRealShims(): void {
  beforeEach(async () => {
    rt.harness = await Harness.open();
    rt.leaks = await leakCheck({ root: rt.harness.dir, markers: [rt.harness.namespace] });
    rt.runtime = await rt.harness.runtime();
    rt.ios = [];
  });
  afterEach(async () => {
    try {
      for (const task of await rt.runtime.list(rt.harness.ctx, true)) await forceDelete(task);
      await rt.runtime.close();
      for (const at of rt.ios) at.close();
      await rt.leaks.expectClean();
      expect(readdirSync("/run/containerd/s").filter((name) => rt.harness.sockets.has(name))).toEqual([]);
      expect(existsSync(`/run/containerd/runc/${rt.harness.namespace}`)).toBe(false);
    } finally {
      await rt.harness.close();
    }
  });
}

/** After a failed test only; the leak check tells what it could not remove. */
async function forceDelete(task: Task): Promise<void> {
  const ctx = { ...rt.harness.ctx, signal: AbortSignal.timeout(5000) };
  await task.kill(ctx, "", 9, true).catch(() => {});
  await task.wait(ctx, "").catch(() => {});
  await rt.runtime.delete(ctx, task.id).catch(() => {});
}

export function io(withStdin = false): TestIo {
  const made = rt.harness.io(withStdin);
  rt.ios.push(made);
  return made;
}

export function create(id: string, spec: SpecOptions, at: TestIo = io()): Promise<Task> {
  const address = usualSocketAddress("", rt.harness.grpcAddress, rt.harness.namespace, id);
  rt.harness.sockets.add(basename(address));
  return rt.runtime.create(rt.harness.ctx, id, rt.harness.createOptions(id, at, spec));
}

export async function started(id: string, args: string[]): Promise<Task> {
  const task = await create(id, { args });
  await task.start(rt.harness.ctx, "");
  return task;
}

export async function end(task: Task): Promise<void> {
  await task.kill(rt.harness.ctx, "", 9, true);
  await task.wait(rt.harness.ctx, "");
  await rt.runtime.delete(rt.harness.ctx, task.id);
}

/** Kind and message of a rejection. */
export async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "resolved";
  } catch (error) {
    return error instanceof ContainerdError ? `${error.kind}: ${error.message}` : String(error);
  }
}

export const sleeper: string[] = ["sleep", "1000"];

export function bundleOf(id: string): string {
  return join(rt.harness.stateDir, rt.harness.namespace, id);
}
