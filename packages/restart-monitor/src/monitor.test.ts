import { TaskExit } from "@ctrd/api/events/task";
import type { Container, ContainerStore } from "@ctrd/core/containers";
import type { CallContext } from "@ctrd/core/context";
import { alreadyExists, internal, notFound } from "@ctrd/core/errors";
import type { Envelope, EventService } from "@ctrd/core/events";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import type { SnapshotterLookup } from "@ctrd/core/snapshots";
import type { ObservableTaskService, TaskProcess } from "@ctrd/core/tasks";
import { TaskStatus } from "@ctrd/core/tasks";
import { jsonAny, protoAny, specTypeUrl } from "@ctrd/core/typeurl";
import { EventEmitter, on } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test, vi } from "vitest";
import { healthyMs } from "./backoff.ts";
import type { RunningRestartMonitor } from "./monitor.ts";
import { startRestartMonitor } from "./monitor.ts";

/** A daemon with one container, whose tasks only are what the monitor is told. */
class Daemon {
  readonly container: Container;
  readonly events = new EventEmitter();
  readonly warnings: string[] = [];
  task: { status: TaskStatus; exitStatus: number } | undefined;
  /** Times at which tasks were made. */
  readonly starts: number[] = [];
  /** How long that takes, and what becomes of it. */
  startMs = 5;
  failure: Error | undefined;
  hasSnapshot = true;
  #kill: ((namespace: string, id: string) => void) | undefined;
  #creating = 0;
  monitor: RunningRestartMonitor | undefined;

  constructor(labels: Record<string, string>) {
    const entries = Object.entries({ status: "running", ...labels });
    this.container = {
      id: "c",
      labels: new Map(entries.map(([key, value]) => [`containerd.io/restart.${key}`, value])),
      image: "i",
      runtime: undefined,
      spec: jsonAny(specTypeUrl, { process: { terminal: false } }),
      snapshotter: "overlayfs",
      snapshotKey: "c",
      createdAt: undefined,
      updatedAt: undefined,
      extensions: new Map(),
      sandbox: "",
    };
  }

  start(intervalMs = 60_000): void {
    const warn: Logger["warn"] = (fields, message) => void this.warnings.push(`${message} ${JSON.stringify(fields)}`);
    const log: Logger = { ...silentLogger, warn, child: () => log };
    this.monitor = startRestartMonitor(this.#parts(), { intervalMs, log });
  }

  async stop(): Promise<void> {
    await this.monitor?.stop();
  }

  /** The process ends by itself, or after a signal of a client. */
  end(exitStatus: number, killedByClient = false): void {
    if (killedByClient) this.#kill?.("default", "c");
    this.task = { status: TaskStatus.Stopped, exitStatus };
    const value = TaskExit.encode(TaskExit.fromPartial({ containerId: "c", id: "c", exitStatus })).finish();
    const event = protoAny("containerd.events.TaskExit", value);
    this.events.emit("event", { timestamp: undefined, namespace: "default", topic: "/tasks/exit", event });
  }

  label(name: string): string | undefined {
    return this.container.labels.get(`containerd.io/restart.${name}`);
  }

  #parts(): Parameters<typeof startRestartMonitor>[0] {
    const { container, events } = this;
    const containers: Partial<ContainerStore> = {
      get: async () => ({ ...container, labels: new Map(container.labels) }),
      list: async () => [container],
      update: async (_ctx, { labels }) => {
        for (const [key, value] of labels) container.labels.set(key, value);
        return container;
      },
    };
    const mounts = async (): Promise<[]> => {
      if (!this.hasSnapshot) throw notFound('snapshot "c"');
      return [];
    };
    const subscribe = async function* ({ signal }: CallContext): AsyncGenerator<Envelope> {
      try {
        for await (const [envelope] of on(events, "event", { signal })) yield envelope as Envelope;
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    };
    const namespaces: Partial<NamespaceStore> = { list: async () => [{ name: "default", labels: new Map() }] };
    return {
      namespaces: namespaces as NamespaceStore,
      containers: containers as ContainerStore,
      tasks: this.#tasks() as ObservableTaskService,
      snapshotters: { get: () => ({ mounts }) } as unknown as SnapshotterLookup,
      events: { subscribe } as unknown as EventService,
    };
  }

  #tasks(): Partial<ObservableTaskService> {
    const found = (): TaskProcess => {
      if (this.task === undefined) throw notFound("task c");
      return { ...this.task, pid: 7 } as TaskProcess;
    };
    return {
      onKill: (listener) => {
        this.#kill = listener;
        return () => (this.#kill = undefined);
      },
      get: async () => ({ process: found() }),
      delete: async () => {
        const { exitStatus } = found();
        this.task = undefined;
        return { id: "c", pid: 7, exitStatus, exitedAt: undefined };
      },
      create: async () => {
        if (++this.#creating > 1 || this.task !== undefined) throw alreadyExists("task c: made twice");
        this.starts.push(performance.now());
        await sleep(this.startMs);
        this.#creating--;
        if (this.failure !== undefined) throw this.failure;
        this.task = { status: TaskStatus.Created, exitStatus: 0 };
        return { containerId: "c", pid: 7 };
      },
      start: async () => {
        this.task = { status: TaskStatus.Running, exitStatus: 0 };
        return { pid: 7 };
      },
    };
  }
}

let daemon: Daemon;
afterEach(() => daemon.stop());

const runs = (times: number): Promise<void> =>
  vi.waitFor(
    () => {
      expect(daemon.starts).toHaveLength(times);
      expect(daemon.task?.status).toBe(TaskStatus.Running);
    },
    { timeout: 20_000, interval: 5 },
  );

test("what does not run is started with the monitor; what crashes is started at once, ever later", async () => {
  daemon = new Daemon({ policy: "always" });
  daemon.start();
  const delays: number[] = [];
  for (let times = 1; times <= 4; times++) {
    await runs(times);
    const ended = performance.now();
    daemon.end(1);
    await runs(times + 1);
    delays.push((daemon.starts.at(-1) ?? 0) - ended);
  }
  for (const [at, delay] of delays.entries()) expect(delay).toBeGreaterThanOrEqual(50 * 2 ** at - 2);
  expect(delays[3]).toBeLessThan(healthyMs);
  expect(daemon.label("count")).toBe("5");
  expect(daemon.warnings).toEqual([]);
});

test("what a client has killed waits for the next pass", async () => {
  daemon = new Daemon({ policy: "always" });
  daemon.start();
  await runs(1);
  daemon.end(137, true);
  await sleep(300);
  expect(daemon.starts).toHaveLength(1);
  daemon.monitor?.setInterval(10);
  await runs(2);
  // It was that one end alone.
  daemon.end(137);
  await runs(3);
});

test("exits and passes at the same time: never two starts at a time", async () => {
  daemon = new Daemon({ policy: "always" });
  daemon.startMs = 60;
  daemon.start(10);
  for (let times = 1; times <= 2; times++) {
    await vi.waitFor(() => expect(daemon.starts.length).toBeGreaterThanOrEqual(times), {
      timeout: 10_000,
      interval: 2,
    });
    await runs(daemon.starts.length);
    daemon.end(2);
    daemon.end(2);
  }
  await runs(3);
  expect(daemon.warnings).toEqual([]);
});

test("a start that fails is reported once and tried again, ever later", async () => {
  daemon = new Daemon({ policy: "unless-stopped" });
  daemon.failure = internal("no shim today");
  daemon.start(20);
  await vi.waitFor(() => expect(daemon.starts.length).toBe(4), { timeout: 10_000, interval: 5 });
  const gaps = daemon.starts.slice(1).map((start, at) => start - (daemon.starts[at] ?? 0));
  for (const [at, gap] of gaps.entries()) expect(gap).toBeGreaterThanOrEqual(50 * 2 ** at);
  expect(daemon.warnings).toEqual([expect.stringContaining("no shim today")]);
  daemon.failure = undefined;
  await vi.waitFor(() => expect(daemon.task?.status).toBe(TaskStatus.Running), { timeout: 20_000 });
});

test("without a snapshot it is reported once and left as it is", async () => {
  daemon = new Daemon({ policy: "always", count: "3" });
  daemon.hasSnapshot = false;
  daemon.start(10);
  await vi.waitFor(() => expect(daemon.warnings).toHaveLength(1), { timeout: 10_000 });
  await sleep(100);
  expect(daemon.warnings).toEqual([expect.stringContaining("left alone")]);
  expect(daemon.starts).toEqual([]);
  expect(daemon.label("count")).toBe("3");
  daemon.hasSnapshot = true;
  await runs(1);
});

test("stopped explicitly while it waits: it is not started; after the monitor's end nothing is", async () => {
  daemon = new Daemon({ policy: "on-failure" });
  daemon.task = { status: TaskStatus.Running, exitStatus: 0 };
  daemon.start(30);
  await sleep(50);
  daemon.end(1);
  daemon.container.labels.set("containerd.io/restart.explicitly-stopped", "true");
  await sleep(200);
  expect(daemon.starts).toEqual([]);
  daemon.container.labels.delete("containerd.io/restart.explicitly-stopped");
  daemon.end(1);
  await daemon.stop();
  await sleep(200);
  expect(daemon.starts).toEqual([]);
});
