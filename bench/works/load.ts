/**
 * Calls while garbage is collected all the time, in a store of 1,000 containers, 10,000 snapshots and 10,000 blobs; and
 * 64 metadata writes at once in a small one.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createContext, type CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import { openChannel, proxyContainers, proxyImages, proxyLeases, proxySnapshotter } from "@ctrd/services";
import { mustRun, tempDir, type TestDaemon } from "@ctrd/testkit/fixtures";
import type { RpcChannel } from "@ctrd/services";
import type { Side } from "../side.ts";
import { timed, type BenchContext, type Work } from "../work.ts";
import { chains, containerId, fillStore, imageRecord, snapshotName } from "./load-store.ts";

/** How long each kind of call is made, in milliseconds. */
const phaseMs = 2500;
const namespace = "load";
const writers = 64;
const rounds = 20;

/** A daemon on a full store. */
interface Loaded {
  readonly channel: RpcChannel;
  readonly ctx: CallContext;
}

const loaded = new Map<Side["name"], Loaded>();
/** The figures of the last measurement by the names of the works. */
const figures = new Map<Side["name"], ReadonlyMap<string, number>>();
let round = 0;

export const metadataWrites: Work = {
  name: "metadata-64",
  unit: "/s",
  target: ">= 5.00",
  async run(side) {
    const leases = proxyLeases(side.channel);
    const run = round++;
    const each = (work: (id: string) => Promise<unknown>): Promise<unknown> =>
      Promise.all(
        Array.from({ length: writers }, async (_, writer) => {
          for (let i = 0; i < rounds; i++) await work(`write-${run}-${writer}-${i}`);
        }),
      );
    const labels = new Map([["containerd.io/gc.expire", new Date(Date.now() + 3_600_000).toISOString()]]);
    const total = await timed(() => each((id) => leases.create(side.ctx, { id, labels })));
    await each((id) => leases.delete(side.ctx, id));
    return (writers * rounds) / (total / 1000);
  },
};

/** The first one measures for all. */
export const load: readonly Work[] = [
  figure("load-get-p50", "<= 1.00"),
  figure("load-get-p99", "<= 50 ms"),
  figure("load-list-p50", "<= 1.00"),
  figure("load-list-p99", "<= 1.00"),
  figure("load-prepare-p50", "<= 1.00"),
  figure("load-prepare-p99", "<= 1.00"),
  figure("load-gc-sync", "<= 1.00"),
];

function figure(name: string, target: string): Work {
  const isFirst = name === "load-get-p50";
  return {
    name,
    unit: "ms",
    target,
    async prepare(side, context) {
      if (!loaded.has(side.name)) loaded.set(side.name, await startLoaded(side, context));
    },
    async run(side) {
      const one = loaded.get(side.name);
      if (one !== undefined && (isFirst || !figures.has(side.name))) figures.set(side.name, await measure(one));
      return figures.get(side.name)?.get(name) ?? Number.NaN;
    },
  };
}

/** A daemon of the side's kind on a copy of the full store, which is made once and kept between benchmarks. */
async function startLoaded(side: Side, { cache }: BenchContext): Promise<Loaded> {
  const version = /^Server:\s+Version:\s+(\S+)/m.exec(await side.ctr("version"))?.[1] ?? "";
  const archive = join(cache, `load-${side.name}-${version.replaceAll(/[^\w.]/g, "-")}.tar`);
  if (!existsSync(archive)) await makeArchive(side, archive);
  const dir = await tempDir("load-");
  await mustRun("tar", ["-xf", archive, "-C", dir.path], { timeoutMs: 300_000 });
  const daemon = await side.start(dir.path);
  side.own(dir);
  side.own(daemon);
  return connect(daemon);
}

async function connect(daemon: TestDaemon): Promise<Loaded> {
  const channel = openChannel(daemon.address);
  await channel.ready();
  return { channel, ctx: createContext({ namespace }) };
}

/** Where nothing waits for a disk: 40,000 durable writes would take a quarter of an hour. */
const memory = "/dev/shm";

async function makeArchive(side: Side, archive: string): Promise<void> {
  const directory = await mkdtemp(join(memory, "ctrd-load-"));
  try {
    await mkdir(join(directory, "d"));
    const daemon = await side.start(join(directory, "d"));
    try {
      const { channel, ctx } = await connect(daemon);
      await fillStore(channel, ctx);
      channel.close();
    } finally {
      await daemon[Symbol.asyncDispose]();
    }
    await mustRun("tar", ["-cf", `${archive}.new`, "-C", join(directory, "d"), "root"], { timeoutMs: 300_000 });
    await rename(`${archive}.new`, archive);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure({ channel, ctx }: Loaded): Promise<ReadonlyMap<string, number>> {
  const containers = proxyContainers(channel);
  const snapshotter = proxySnapshotter(channel, "overlayfs");
  const labels = new Map([["containerd.io/gc.root", "now"]]);
  let made = 0;
  const key = (): string => `load-${round++}-${made++}`;
  const collecting = new AbortController();
  const collections = collectAll(channel, ctx, collecting.signal);
  const results = new Map<string, number>();
  const add = (name: string, samples: readonly number[]): void => {
    results.set(`load-${name}-p50`, quantile(samples, 0.5));
    results.set(`load-${name}-p99`, quantile(samples, 0.99));
  };
  try {
    add("get", await sample(2, () => containers.get(ctx, containerId(Math.floor(Math.random() * chains)))));
    add("list", await sample(20, () => containers.list(ctx, [])));
    const keys: string[] = [];
    add(
      "prepare",
      await sample(2, async () => {
        keys.push(key());
        await snapshotter.prepare(ctx, keys.at(-1) ?? "", snapshotName(keys.length % chains, 8), { labels });
      }),
    );
    for (const made of keys) await snapshotter.remove(ctx, made);
  } finally {
    collecting.abort();
    results.set("load-gc-sync", quantile(await collections, 0.5));
  }
  return results;
}

/** Calls again and again for a while, with pauses. Returns how long each call took. */
async function sample(pauseMs: number, call: () => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  for (const end = performance.now() + phaseMs; performance.now() < end;) {
    samples.push(await timed(call));
    await sleep(pauseMs);
  }
  return samples;
}

/** Collects until it is told to stop. Returns how long each collection took. */
async function collectAll(channel: RpcChannel, ctx: CallContext, signal: AbortSignal): Promise<number[]> {
  const images = proxyImages(channel);
  const name = "example.com/collect:1";
  const samples: number[] = [];
  while (!signal.aborted) {
    try {
      await images.create(ctx, imageRecord(name, 0));
    } catch (error) {
      if (!isKind(error, "already-exists")) throw error;
    }
    samples.push(await timed(() => images.delete(ctx, name, { sync: true })));
  }
  return samples;
}

function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
