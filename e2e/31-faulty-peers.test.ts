/** Issue 6, Shows 1: shims, registries and subscribers that misbehave (docs/faults.md has the table). */
import { readFileSync } from "node:fs";
import type { Client } from "@ctrd/client";
import { connect, nullIo } from "@ctrd/client";
import { isKind, kindOf } from "@ctrd/core/errors";
import { protoAny } from "@ctrd/core/typeurl";
import { withImageConfig } from "@ctrd/oci";
import type { FaultShim } from "@ctrd/testkit/faults";
import { makeFaultShim } from "@ctrd/testkit/faults";
import type { Fault, FaultProxy } from "@ctrd/testkit/fixtures";
import { buildImage, pushImage, startFaultProxy } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { until } from "./support/command.ts";
import { watchEvents } from "./support/events.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { leftMounts } from "./support/leaks.ts";
import { list } from "./support/machine-state.ts";
import { ctrdTest } from "./support/peers.ts";

let h: Harness;
let client: Client;
let shim: FaultShim;
let proxy: FaultProxy;

beforeAll(async () => {
  h = await openHarness("peers");
  client = await connect(h.daemon.address, { namespace: h.daemon.namespace });
  shim = await makeFaultShim(h.path("shim"));
  proxy = await startFaultProxy(h.registry.host);
});
afterAll(async () => {
  client?.close();
  await proxy?.[Symbol.asyncDispose]();
  await h?.close();
});
beforeEach(() => shim.set({}));

async function newContainer(name: string) {
  const specOptions = [withImageConfig({ args: ["sleep", "1000"] })];
  const { runtime } = shim;
  return client.newContainer(h.daemon.id(name), { image: h.image, snapshotter: "overlayfs", runtime, specOptions });
}

async function failureOf(call: Promise<unknown>): Promise<Error> {
  return call.then(
    () => Promise.reject(new Error("it should have failed")),
    (error: unknown) => error as Error,
  );
}

/** Neither bundle nor mount nor process of any task is there. */
async function expectNoTasks(): Promise<void> {
  const bundles = `${h.daemon.state}/io.containerd.runtime.v2.task/${h.daemon.namespace}`;
  await until("bundles, mounts and sockets are gone", () => {
    const sockets = list("/run/containerd/s").filter((path) => path.endsWith(".f"));
    return [...list(bundles), ...leftMounts(h.daemon.state), ...sockets].length === 0;
  });
}

ctrdTest(
  "F2: a shim whose Create fails, or that dies in it: the error says so, nothing is left, the next try works",
  async () => {
    const container = await newContainer("create");
    await shim.set({ Create: { code: 13, message: "out of luck" } });
    expect((await failureOf(container.newTask({ io: nullIo }))).message).toContain("out of luck");
    await expectNoTasks();
    await shim.set({ Create: { kill: true } });
    await failureOf(container.newTask({ io: nullIo }));
    await expectNoTasks();
    await shim.set({});
    const task = await container.newTask({ io: nullIo });
    await task.start();
    await task.kill("SIGKILL");
    expect((await task.wait()).exitCode).toBe(137);
    await task.delete();
    await container.delete({ snapshot: true });
    await expectNoTasks();
  },
);

ctrdTest("F2: a shim that dies while its task runs: exit status, events, and the container is removable", async () => {
  const container = await newContainer("dies");
  const task = await container.newTask({ io: nullIo });
  await task.start();
  const exit = task.wait();
  await shim.set({ State: { kill: true } });
  await task.status().catch(() => undefined); // it is never answered
  expect([137, 255]).toContain((await exit).exitCode);
  await shim.set({});
  await expectNoTasks();
  await container.delete({ snapshot: true });
});

ctrdTest("F2: a shim that does not answer holds up its own callers only", async () => {
  const [stuck, other] = [await newContainer("stuck"), await newContainer("other")];
  const task = await stuck.newTask({ io: nullIo });
  await task.start();
  await shim.set({ Pids: { stall: true } });
  const giveUp = AbortSignal.timeout(300);
  expect(["canceled", "deadline-exceeded"]).toContain(kindOf(await failureOf(task.pids({ signal: giveUp }))));
  await shim.set({ Create: { delayMs: 200 } });
  const second = await other.newTask({ io: nullIo });
  await second.start();
  await shim.set({});
  for (const one of [task, second]) {
    await one.kill("SIGKILL");
    expect((await one.wait()).exitCode).toBe(137);
    await one.delete();
  }
  for (const one of [stuck, other]) await one.delete({ snapshot: true });
  await expectNoTasks();
});

const registryFaults: readonly [string, Fault][] = [
  ["answers 429", { status: 429, headers: { "retry-after": "1" } }],
  ["answers 503", { status: 503 }],
  ["resets the connection", { resetAfter: 40_000 }],
  ["ends too early", { truncateAfter: 40_000 }],
];

ctrdTest(
  "F4: a registry that stumbles once: the pull resumes and is complete; wrong bytes are never stored",
  async () => {
    for (const [index, [what, fault]] of registryFaults.entries()) {
      const { reference, digest } = await pushLayer(index);
      proxy.onRequest(({ method, url }, count) =>
        method === "GET" && url.endsWith(digest) && count === 0 ? fault : undefined,
      );
      const image = await client.pullByDaemon(reference, { plainHttp: true });
      expect((await client.content.info(client.context(), digest)).digest, what).toBe(digest);
      await image.delete({ sync: true });
    }
    const { reference, digest } = await pushLayer(9);
    proxy.onRequest(({ method, url }) => (method === "GET" && url.endsWith(digest) ? { flipAt: 50_000 } : undefined));
    const failure = await failureOf(client.pullByDaemon(reference, { plainHttp: true }));
    expect(failure.message).toContain(digest);
    expect(isKind(await failureOf(client.content.info(client.context(), digest)), "not-found")).toBe(true);
    proxy.onRequest(() => undefined);
    await (await client.pullByDaemon(reference, { plainHttp: true })).delete({ sync: true });
  },
);

async function pushLayer(seed: number): Promise<{ reference: string; digest: string }> {
  const image = await buildImage({ layers: [{ manyFiles: { count: 3, totalBytes: 100_000, seed } }] });
  const reference = await pushImage(h.registry, "e2e/faulty", String(seed), image);
  const digest = image.layers[0]?.descriptor.digest ?? "";
  return { reference: reference.replace(h.registry.host, proxy.host), digest };
}

ctrdTest(
  "F5: a subscriber that reads nothing is ended; the daemon's memory stays bounded, and others get every event",
  async () => {
    const before = residentBytes(h.daemon.pid);
    // A real client that is stopped while it is subscribed.
    const dead = await watchEvents(h.daemon);
    dead.signal("SIGSTOP");
    const reader = await connect(h.daemon.address, { namespace: h.daemon.namespace });
    const seen: string[] = [];
    const stop = new AbortController();
    const reading = (async () => {
      for await (const { topic } of reader.subscribe(['topic~="^/faults/"'], { signal: stop.signal })) seen.push(topic);
    })();
    const publish = (topic: string, bytes: number): Promise<void> =>
      client.services.eventService.publish(client.context(), topic, protoAny("faults.Event", new Uint8Array(bytes)));
    await until("the reader is subscribed", async () => {
      await publish("/faults/begin", 1);
      return seen.length > 0;
    });
    const count = 2_000;
    for (let sent = 0; sent < count; sent += 50) {
      await Promise.all(Array.from({ length: 50 }, () => publish("/faults/many", 50_000)));
    }
    await publish("/faults/end", 1);
    await until("the reader has all", () => seen.at(-1) === "/faults/end", 20_000);
    expect(seen.filter((topic) => topic === "/faults/many").length).toBe(count);
    // Of 100 MB that were published.
    expect(residentBytes(h.daemon.pid) - before).toBeLessThan(250 << 20);
    stop.abort();
    await reading.catch(() => undefined);
    await dead.stop();
    reader.close();
    expect(await client.isServing()).toBe(true);
  },
);

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}
