/** A metadata store over backends in memory, with shorthands. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { CallContext } from "@ctrd/core/context";
import { createContext, withLease } from "@ctrd/core/context";
import type { ErrorKind } from "@ctrd/core/errors";
import { kindOf, messageOf } from "@ctrd/core/errors";
import type { EventPublisher } from "@ctrd/core/events";
import type { MetadataStore } from "@ctrd/core/metadata";
import type { Any } from "@ctrd/core/records";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { expect, onTestFinished } from "vitest";
import type { MetadataOptions } from "../src/store.ts";
import { openMetadataStore } from "../src/store.ts";
import { digestOf, MemoryContent } from "./memory-content.ts";
import { MemorySnapshotter } from "./memory-snapshotter.ts";

/** A published event. */
export interface Published {
  namespace: string;
  topic: string;
  event: Any;
}

export type BenchOptions = Partial<Pick<MetadataOptions, "sharingPolicy">>;

export class Bench {
  readonly content = new MemoryContent();
  readonly backend = new MemorySnapshotter();
  readonly events: Published[] = [];
  readonly ctx: CallContext = createContext({ namespace: "ns" });
  readonly root: string;
  readonly #options: BenchOptions;
  store!: MetadataStore;

  private constructor(root: string, options: BenchOptions) {
    this.root = root;
    this.#options = options;
  }

  /** Opens a store in a new directory, for the test that runs. */
  static async open(options: BenchOptions = {}): Promise<Bench> {
    const bench = new Bench(await mkdtemp(join(tmpdir(), "metadata-")), options);
    await bench.#open();
    onTestFinished(async () => {
      await bench.store.close();
      await rm(bench.root, { recursive: true });
    });
    return bench;
  }

  /** Closes the store and opens it again: what is in memory only is forgotten. */
  async reopen(): Promise<void> {
    await this.store.close();
    await this.#open();
  }

  get snapshotter(): Snapshotter {
    return this.store.snapshotters.get("mem") as Snapshotter;
  }

  /** A context in another namespace. */
  in(namespace: string): CallContext {
    return createContext({ namespace });
  }

  /** Creates a lease and returns a context with it. */
  async leased(id: string, labels: Record<string, string> = {}): Promise<CallContext> {
    await this.store.leases.create(this.ctx, { id, labels: new Map(Object.entries(labels)) });
    return withLease(this.ctx, id);
  }

  /** Writes a blob and returns its digest. */
  async blob(data: string, labels: Record<string, string> = {}, ctx: CallContext = this.ctx): Promise<string> {
    const writer = await this.store.content.writer(ctx, { ref: `write-${data}` });
    if (writer.status().offset === 0n) await writer.write(Buffer.from(data));
    await writer.commit(ctx, { expected: digestOf(data), labels: new Map(Object.entries(labels)) });
    return digestOf(data);
  }

  /** Creates an image of a blob. */
  async image(
    name: string,
    digest: string,
    labels: Record<string, string> = {},
    ctx: CallContext = this.ctx,
  ): Promise<void> {
    await this.store.images.create(ctx, {
      name,
      labels: new Map(Object.entries(labels)),
      target: { mediaType: "application/x", digest, size: 1n, annotations: new Map() },
      createdAt: undefined,
      updatedAt: undefined,
    });
  }

  /** Prepares and commits a snapshot. */
  async snapshot(
    name: string,
    parent = "",
    labels: Record<string, string> = {},
    ctx: CallContext = this.ctx,
  ): Promise<string> {
    await this.snapshotter.prepare(ctx, `active-${name}`, parent);
    await this.snapshotter.commit(ctx, name, `active-${name}`, { labels: new Map(Object.entries(labels)) });
    return name;
  }

  /** Creates a container on a snapshot. */
  async container(id: string, snapshotKey = "", labels: Record<string, string> = {}): Promise<void> {
    await this.store.containers.create(this.ctx, {
      id,
      labels: new Map(Object.entries(labels)),
      image: "",
      runtime: { name: "rt", options: undefined },
      spec: { typeUrl: "spec", value: Uint8Array.of(1) },
      snapshotter: snapshotKey === "" ? "" : "mem",
      snapshotKey,
      createdAt: undefined,
      updatedAt: undefined,
      extensions: new Map(),
      sandbox: "",
    });
  }

  async collect(): Promise<Map<string, number>> {
    return (await this.store.collectGarbage(createContext())).removed;
  }

  async digests(ctx: CallContext = this.ctx): Promise<string[]> {
    return (await all(this.store.content.list(ctx, []))).map(({ digest }) => digest);
  }

  async keys(ctx: CallContext = this.ctx): Promise<string[]> {
    return (await all(this.snapshotter.walk(ctx, []))).map(({ name }) => name);
  }

  /** Names of the backend's snapshots without namespace and sequence, sorted. */
  backendKeys(): string[] {
    return [...this.backend.snapshots.keys()].map((key) => key.split("/").slice(2).join("/")).sort();
  }

  topics(): string[] {
    return this.events.map(({ topic }) => topic);
  }

  async #open(): Promise<void> {
    const events: EventPublisher = {
      publish: async (ctx, topic, event) => void this.events.push({ namespace: ctx.namespace, topic, event }),
    };
    this.store = await openMetadataStore({
      root: this.root,
      content: this.content,
      snapshotters: new Map([["mem", this.backend]]),
      events,
      ...this.#options,
    });
  }
}

/** Everything that an iterable gives. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** Expects a failure of `kind` whose message matches `text`. */
export async function expectKind(call: Promise<unknown>, kind: ErrorKind, text: RegExp | string = ""): Promise<void> {
  const outcome = await call.then(
    () => "no error",
    (error: unknown) => ({ kind: kindOf(error), message: messageOf(error) }),
  );
  expect(outcome).toMatchObject({ kind });
  if (typeof outcome === "object") expect(outcome.message).toMatch(text);
}

/**
 * Runs `work` to its end.
 *
 * @returns the most that one turn of the event loop took meanwhile, in milliseconds of processor time of this thread:
 *   other programs may take the processor at any moment
 */
export async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let done = false;
  let longestMs = 0;
  const run = work().finally(() => (done = true));
  for (let last = process.threadCpuUsage(); !done;) {
    await setImmediate();
    const { user, system } = process.threadCpuUsage(last);
    longestMs = Math.max(longestMs, (user + system) / 1000);
    last = process.threadCpuUsage();
  }
  await run;
  return longestMs;
}
