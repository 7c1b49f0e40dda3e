import { isKind } from "@ctrd/core/errors";
import { TaskStatus } from "@ctrd/core/tasks";
import { describe, expect, test } from "vitest";
import { Backoff, healthyMs, longestDelayMs } from "./backoff.ts";
import type { Situation } from "./policy.ts";
import { decide, parsePolicy } from "./policy.ts";

const key = (name: string): string => `containerd.io/restart.${name}`;

/** Labels of a container that should run. */
function wanted(policy?: string, more: Record<string, string> = {}): Map<string, string> {
  const entries = Object.entries({ status: "running", ...(policy === undefined ? {} : { policy }), ...more });
  return new Map(entries.map(([name, value]) => [key(name), value]));
}

function task(status: TaskStatus, exitStatus = 0): Situation {
  return { task: { status, exitStatus } };
}
const exited = (exitStatus: number): Situation => task(TaskStatus.Stopped, exitStatus);
const noTask: Situation = { task: undefined };

describe("policies", () => {
  test.each([
    ["", "always", 0],
    ["no", "no", 0],
    ["always", "always", 0],
    ["unless-stopped", "unless-stopped", 0],
    ["on-failure", "on-failure", 0],
    ["on-failure:3", "on-failure", 3],
    ["on-failure:0", "on-failure", 0],
  ])("%j is read", (text, name, maxRetries) => {
    expect(parsePolicy(text)).toEqual({ name, maxRetries });
  });

  test.each(["sometimes", "Always", "always:3", "no:1", "unless-stopped:", "on-failure:", "on-failure:x", ":3"])(
    "%j is refused",
    (text) => {
      expect(() => parsePolicy(text)).toThrow(expect.toSatisfy((error) => isKind(error, "invalid-argument")));
    },
  );
});

describe("what runs, pauses, is being made or does not answer is left alone", () => {
  const states = [TaskStatus.Running, TaskStatus.Paused, TaskStatus.Pausing, TaskStatus.Created, TaskStatus.Unknown];
  test.each(states)("state %i", (status) => {
    expect(decide(wanted("always"), task(status))).toEqual({ action: "none" });
  });
});

describe("a container that should run", () => {
  test.each([
    [undefined, exited(0)],
    ["always", exited(0)],
    ["always", exited(1)],
    ["always", noTask],
    ["unless-stopped", exited(0)],
    ["unless-stopped", noTask],
    ["on-failure", exited(1)],
    ["on-failure:1", exited(137)],
  ])("policy %s: is started (%j)", (policy, situation) => {
    expect(decide(wanted(policy), situation)).toMatchObject({ action: "start", count: 1 });
  });

  test.each([
    ["no", exited(1)],
    ["no", noTask],
    ["on-failure", exited(0)],
    ["on-failure", noTask],
    ["on-failure:3", exited(0)],
  ])("policy %s: is not started (%j)", (policy, situation) => {
    expect(decide(wanted(policy), situation)).toEqual({ action: "none" });
  });

  test("on-failure stops at its number, and the count goes on", () => {
    const after = (count: string): unknown => decide(wanted("on-failure:3", { count }), exited(1));
    expect(after("2")).toEqual({ action: "start", policy: "on-failure", count: 3 });
    expect(after("3")).toEqual({ action: "none" });
    expect(decide(wanted("on-failure", { count: "99" }), exited(1))).toMatchObject({ count: 100 });
  });

  test("a failure is remembered when its task is gone", () => {
    expect(decide(wanted("on-failure"), { task: undefined, lastExit: 2 })).toMatchObject({ action: "start" });
    expect(decide(wanted("on-failure"), { task: undefined, lastExit: 0 })).toEqual({ action: "none" });
  });

  test("labels that cannot be read start nothing and are a problem", () => {
    expect(decide(wanted("sometimes"), noTask)).toMatchObject({
      action: "none",
      problem: expect.stringContaining("sometimes"),
    });
    expect(decide(wanted("on-failure", { count: "x" }), exited(1))).toMatchObject({
      problem: expect.stringContaining('"x" is no number'),
    });
    expect(decide(wanted("always", { count: "x" }), exited(1))).toMatchObject({ action: "start", count: 1 });
  });
});

describe("a container that was stopped explicitly", () => {
  const labels = (policy: string, value = "true"): Map<string, string> =>
    wanted(policy, { "explicitly-stopped": value });

  test.each(["unless-stopped", "always", "on-failure"])("%s: stays stopped", (policy) => {
    for (const value of ["true", "1", "T"])
      expect(decide(labels(policy, value), exited(1))).toEqual({ action: "none" });
    for (const value of ["false", "0", "yes"]) {
      expect(decide(labels(policy, value), exited(1))).toMatchObject({ action: "start" });
    }
  });

  test("only always starts it with the daemon", () => {
    const first = { ...exited(137), atDaemonStart: true };
    expect(decide(labels("always"), first)).toMatchObject({ action: "start" });
    expect(decide(labels("unless-stopped"), first)).toEqual({ action: "none" });
    expect(decide(labels("on-failure"), first)).toEqual({ action: "none" });
  });
});

test("a container that should be stopped is stopped in any state", () => {
  const labels = new Map([[key("status"), "stopped"]]);
  for (const status of [TaskStatus.Running, TaskStatus.Paused, TaskStatus.Created]) {
    expect(decide(labels, task(status))).toEqual({ action: "stop" });
  }
  expect(decide(labels, exited(0))).toEqual({ action: "none" });
  expect(decide(labels, noTask)).toEqual({ action: "none" });
});

test("without a status, or with one of another client, nothing is done", () => {
  for (const status of [[], [[key("status"), "created"]]] as [string, string][][]) {
    const labels = new Map([...status, [key("policy"), "always"] as const]);
    expect(decide(labels, exited(1))).toEqual({ action: "none" });
    expect(decide(labels, noTask)).toEqual({ action: "none" });
  }
});

test("delays double up to a minute, and begin anew after a healthy run", () => {
  const backoff = new Backoff();
  let now = 0;
  const crash = (ranMs: number): number => {
    backoff.started(now);
    now += ranMs;
    const delay = backoff.ended(now);
    expect(backoff.isWaiting(now + delay - 1)).toBe(true);
    now += delay;
    expect(backoff.isWaiting(now)).toBe(false);
    return delay;
  };
  expect([crash(10), crash(10), crash(10), crash(10)]).toEqual([50, 100, 200, 400]);
  for (let times = 0; times < 20; times++) crash(10);
  expect(crash(healthyMs - 1)).toBe(longestDelayMs);
  expect(crash(healthyMs)).toBe(50);
  expect(crash(10)).toBe(100);
});
