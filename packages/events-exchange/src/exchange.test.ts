import { ContainerCreate } from "@ctrd/api/events/container";
import { TaskCreate, TaskExit } from "@ctrd/api/events/task";
import { createContext } from "@ctrd/core/context";
import type { Envelope } from "@ctrd/core/events";
import { now } from "@ctrd/core/records";
import { protoAny } from "@ctrd/core/typeurl";
import { describe, expect, it } from "vitest";
import { createEventExchange } from "./index.ts";

const ctx = createContext({ namespace: "default" });
const exit = (containerId: string) =>
  protoAny("containerd.events.TaskExit", TaskExit.encode(TaskExit.create({ containerId })).finish());

async function take(events: AsyncIterable<Envelope>, count: number): Promise<Envelope[]> {
  const taken: Envelope[] = [];
  for await (const envelope of events) {
    taken.push(envelope);
    if (taken.length === count) break;
  }
  return taken;
}

describe("event exchange", () => {
  it("delivers in order what was published after subscribe returned", async () => {
    const events = createEventExchange();
    const all = events.subscribe(ctx, []);
    for (let i = 0; i < 1000; i++) await events.publish(ctx, "/tasks/exit", exit(`c${i}`));
    const taken = await take(all, 1000);
    expect(taken.map((envelope) => TaskExit.decode(envelope.event!.value).containerId)).toEqual(
      Array.from({ length: 1000 }, (_, i) => `c${i}`),
    );
    expect(taken[0]).toMatchObject({ namespace: "default", topic: "/tasks/exit" });
    expect(Math.abs(Number(taken[0]!.timestamp!.seconds) - Date.now() / 1000)).toBeLessThan(5);
  });

  it("filters by namespace, topic and fields of events, decoding with and without a host prefix", async () => {
    const events = createEventExchange();
    const other = createContext({ namespace: "k8s.io" });
    const picked = events.subscribe(ctx, ["namespace==k8s.io", "topic~=^/tasks,event.container_id==b"]);
    await events.publish(ctx, "/tasks/exit", exit("a"));
    await events.publish(ctx, "/tasks/exit", {
      ...exit("b"),
      typeUrl: "type.googleapis.com/containerd.events.TaskExit",
    });
    await events.publish(other, "/tasks/exit", exit("c"));
    await events.publish(ctx, "/tasks/exit", exit("d"));
    await events.publish(other, "/tasks/exit", exit("end"));
    const ids = (await take(picked, 3)).map((envelope) => TaskExit.decode(envelope.event!.value).containerId);
    expect(ids).toEqual(["b", "c", "end"]);
  });

  it.each([
    ["event.io.terminal==true", true],
    ["event.io.stdin==/in", true],
    ["event.bundle", true],
    ["event.pid", false],
    ["event.container_id!=x", true],
  ])("matches TaskCreate with %s: %s", async (filter, wanted) => {
    const value = TaskCreate.create({ containerId: "c", bundle: "/b", io: { stdin: "/in", terminal: true }, pid: 7 });
    expect(
      await matches(filter, "/tasks/create", "containerd.events.TaskCreate", TaskCreate.encode(value).finish()),
    ).toBe(wanted);
  });

  it("has no fields for unknown types and for bytes that do not decode", async () => {
    expect(await matches("event.id", "/x", "example.Unknown", new Uint8Array([1]))).toBe(false);
    expect(
      await matches("event.id", "/containers/create", "containerd.events.ContainerCreate", new Uint8Array([255])),
    ).toBe(false);
    const proto = ContainerCreate.encode(
      ContainerCreate.create({ runtime: { name: "io.containerd.runc.v2" } }),
    ).finish();
    expect(
      await matches("event.runtime.name~=runc", "/containers/create", "containerd.events.ContainerCreate", proto),
    ).toBe(true);
    expect(await matches("event.constructor", "/containers/create", "containerd.events.ContainerCreate", proto)).toBe(
      false,
    );
  });

  it("refuses malformed topics, filters, namespaces and envelopes", async () => {
    const events = createEventExchange();
    for (const topic of ["", "/", "tasks", "/tasks/", "/ta sks", "//x"]) {
      await expect(events.publish(ctx, topic, exit("a"))).rejects.toMatchObject({ kind: "invalid-argument" });
    }
    await expect(events.publish(createContext(), "/a", exit("a"))).rejects.toMatchObject({
      kind: "failed-precondition",
    });
    const envelope = { namespace: "default", topic: "/a", timestamp: now(), event: exit("a") };
    await events.forward(ctx, envelope);
    for (const wrong of [{ namespace: "" }, { topic: "a" }, { timestamp: undefined }]) {
      await expect(events.forward(ctx, { ...envelope, ...wrong })).rejects.toMatchObject({ kind: "invalid-argument" });
    }
    expect(() => events.subscribe(ctx, ["a=="])).toThrow(/invalid argument/);
  });

  it("ends with the signal, and on close", async () => {
    const events = createEventExchange();
    const controller = new AbortController();
    const first = take(events.subscribe(createContext({ signal: controller.signal }), []), 1);
    const second = take(events.subscribe(ctx, []), 1);
    controller.abort();
    expect(await first).toEqual([]);
    events.close();
    expect(await second).toEqual([]);
  });

  it("ends a slow subscriber with a clear error, and nobody else", async () => {
    const events = createEventExchange({ maxEvents: 10, maxBytes: 1 << 20 });
    const slow = events.subscribe(ctx, []);
    const quick = take(events.subscribe(ctx, ["event.container_id==c11"]), 1);
    for (let i = 0; i < 20; i++) await events.publish(ctx, "/tasks/exit", exit(`c${i}`));
    await expect(take(slow, 1)).rejects.toThrow(/11 events .* behind.*resource exhausted/);
    expect(await quick).toHaveLength(1);
  });
});

async function matches(filter: string, topic: string, name: string, value: Uint8Array): Promise<boolean> {
  const events = createEventExchange();
  const subscription = events.subscribe(ctx, [filter, "topic==/end"]);
  await events.publish(ctx, topic, protoAny(name, value));
  await events.publish(ctx, "/end", exit("end"));
  const [first] = await take(subscription, 1);
  return first?.topic === topic;
}
