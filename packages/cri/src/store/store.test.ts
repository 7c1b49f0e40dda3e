import { createContext } from "@ctrd/core/context";
import { failedPrecondition } from "@ctrd/core/errors";
import { silentLogger } from "@ctrd/core/log";
import { expect, test } from "vitest";
import { nowNanos } from "./clock.ts";
import { goJson } from "./go-json.ts";
import { containerName, newId, sandboxName } from "./ids.ts";
import { recordLabels } from "./labels.ts";
import { KeyedLocks } from "./locks.ts";
import { Names } from "./names.ts";
import { Records } from "./records.ts";
import { Stages } from "./stages.ts";

const pod = { name: "web", namespace: "prod", uid: "u1", attempt: 2 };
const never = new AbortController().signal;

test("names are what containerd makes of them, ids are 64 hexadecimal digits", () => {
  expect(sandboxName(pod)).toBe("web_prod_u1_2");
  expect(containerName({ name: "main", attempt: 1 }, pod)).toBe("main_web_prod_u1_1");
  expect(newId()).toMatch(/^[0-9a-f]{64}$/);
});

test("a reserved name is told with its holder, its stage and its age, and is free once it is released", () => {
  const names = new Names("pod sandbox");
  const held = names.reserve("web", "a", "begin");
  expect(names.reserve("web", "a", "again")).toBe(held);
  held.stage = "network";
  expect(() => names.reserve("web", "b", "begin")).toThrow(
    /^pod sandbox name "web" is reserved for "a" \(stage: network, since \S+\); wait for it, or remove it first: already exists$/,
  );
  names.release("a");
  names.release("a");
  expect(names.reserve("web", "b", "begin").holder).toBe("b");
});

test("records are found by the beginning of an id when it is that of one only", () => {
  const records = new Records<{ id: string }>("container");
  const [first, second] = [{ id: `ab${"0".repeat(62)}` }, { id: `ac${"0".repeat(62)}` }];
  records.add(first);
  records.add(second);
  expect([records.find("ab"), records.find(second.id), records.find("")]).toEqual([first, second, undefined]);
  expect(() => records.get("a")).toThrow(/fits 2 ids/);
  expect(() => records.get("x")).toThrow('container "x": not found');
  records.delete(first.id);
  expect(records.get("a")).toBe(second);
});

test("a lock is held by one at a time and key; who gives up waiting does not run", async () => {
  const locks = new KeyedLocks();
  const order: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = locks.run("k", never, async () => {
    await promise;
    order.push("first");
  });
  const gone = new AbortController();
  const second = locks.run("k", gone.signal, async () => order.push("second"));
  const third = locks.run("k", never, async () => order.push("third"));
  await locks.run("other", never, async () => order.push("other"));
  gone.abort(new Error("left"));
  await expect(second).rejects.toThrow("left");
  resolve();
  await Promise.all([first, third]);
  expect(order).toEqual(["other", "first", "third"]);
});

test("stages name themselves in errors and are undone in reverse, also past an undo that fails", async () => {
  const undone: string[] = [];
  const reservation = new Names("pod").reserve("n", "h", "begin");
  const stages = new Stages("run pod", createContext(), reservation);
  await stages.run(
    "one",
    async () => 1,
    async (made) => undone.push(`one ${made}`),
  );
  await stages.run(
    "two",
    async () => 2,
    async () => Promise.reject(new Error("stuck")),
  );
  await stages.run(
    "three",
    async () => 3,
    async () => undone.push("three"),
  );
  const failing = stages.run("four", async () => Promise.reject(failedPrecondition("no space")));
  await expect(failing).rejects.toMatchObject({ kind: "failed-precondition", message: /^run pod: four: no space/ });
  expect(reservation.stage).toBe("four");
  expect(await stages.undo(silentLogger)).toBe(false);
  expect(undone).toEqual(["three", "one 1"]);
  expect(await stages.undo(silentLogger)).toBe(true);
});

test("a stage does not begin for a caller that has gone", async () => {
  const gone = AbortSignal.abort(new DOMException("left", "AbortError"));
  const stages = new Stages("run pod", createContext({ signal: gone }), new Names("pod").reserve("n", "h", ""));
  let begun = false;
  await expect(stages.run("one", async () => (begun = true))).rejects.toMatchObject({ kind: "canceled" });
  expect(begun).toBe(false);
  expect(() => stages.check()).toThrow(/run pod: one: left/);
});

test("messages are written as Go writes them", () => {
  const message = {
    hostPath: "/a",
    readonly: false,
    uid: 5n,
    big: 2n ** 60n,
    labels: new Map([["aB", "c"]]),
    CDIDevices: [1],
  };
  expect(goJson({ ...message, data: new Uint8Array([1]), empty: [], none: undefined })).toEqual({
    host_path: "/a",
    uid: 5,
    big: (2n ** 60n).toString(),
    labels: { aB: "c" },
    CDIDevices: [1],
    data: "AQ==",
  });
});

test("CVE-2026-53488: labels of an image that mean something to a daemon are left out", () => {
  const image = new Map([
    ["containerd.io/restart.status", "running"],
    ["io.containerd.image.x", "y"],
    ["io.cri-containerd.kind", "sandbox"],
    ["long", "x".repeat(5000)],
    ["plain", "z"],
    ["__proto__", "p"],
  ]);
  const labels = recordLabels("container", image, new Map([["plain", "own"]]));
  expect([...labels]).toEqual([
    ["plain", "own"],
    ["__proto__", "p"],
    ["io.cri-containerd.kind", "container"],
  ]);
});

test("times only go forward", () => {
  const times = Array.from({ length: 1000 }, nowNanos);
  expect(times.every((time, index) => index === 0 || time > (times[index - 1] ?? 0n))).toBe(true);
});
