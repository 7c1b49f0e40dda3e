/** Issue 6, Shows 3: a hundred containers, fifty pulls at once, calls during collections, a short soak. Figures: bench/. */
import { setTimeout as sleep } from "node:timers/promises";
import { nullIo, type Client } from "@ctrd/client";
import { withImageConfig } from "@ctrd/oci";
import { buildImage, pushImage } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect } from "vitest";
import { until } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { withClient } from "./support/kill-works.ts";
import { leftMounts } from "./support/leaks.ts";
import { ctrdTest } from "./support/peers.ts";
import { alive } from "./support/processes.ts";
import { soak } from "./support/soak.ts";

let h: Harness;
beforeAll(async () => (h = await openHarness("load")));
afterAll(() => h?.close());

const gcRoot = new Map([["containerd.io/gc.root", "now"]]);

/** Runs `work` for each item, for `atOnce` of them at a time. */
async function each<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

async function startSleeper(client: Client, id: string): Promise<number> {
  const specOptions = [withImageConfig({ args: ["sleep", "1000"] })];
  const container = await client.newContainer(id, { image: h.image, snapshotter: "overlayfs", specOptions });
  const task = await container.newTask({ io: nullIo });
  await task.start();
  return task.pid;
}

ctrdTest(
  "6.3: a hundred containers run, outlive kill -9 of the daemon, are found again and go without a trace",
  async () => {
    const pids = new Map<string, number>();
    await withClient(h.daemon, async (client) => {
      const ids = numbers(100).map((i) => h.daemon.id(`many${i}`));
      await each(ids, 4, async (id) => void pids.set(id, await startSleeper(client, id)));
    });
    await h.daemon.kill9();
    await h.daemon.restart();
    await withClient(h.daemon, async (client) => {
      const containers = await client.containers();
      expect(containers.map(({ id }) => id).toSorted()).toEqual([...pids.keys()].toSorted());
      await each(containers, 8, async (container) => {
        const status = await (await container.task()).status();
        expect(status).toMatchObject({ state: "running", pid: pids.get(container.id) });
      });
      await each(containers, 4, (container) => container.delete({ kill: true, snapshot: true }));
    });
    expect([...pids.values()].filter(alive)).toEqual([]);
    expect(leftMounts(h.daemon.dir)).toEqual([]);
  },
  180_000,
);

ctrdTest(
  "6.3: fifty pulls at once, which share a layer, and the same image ten times",
  async () => {
    const shared = { entries: [{ path: "shared", data: "the same for all\n".repeat(10_000) }] };
    const references = await Promise.all(
      numbers(40).map(async (i) => {
        const image = await buildImage({ layers: [shared, { entries: [{ path: "own", data: `number ${i}\n` }] }] });
        return pushImage(h.registry, `e2e/pull${i}`, "1", image);
      }),
    );
    const wanted = [...references, ...Array.from({ length: 10 }, () => references[0] ?? "")];
    await withClient(h.daemon, async (client) => {
      await Promise.all(
        wanted.map((reference) => client.pullByDaemon(reference, { plainHttp: true, snapshotter: "overlayfs" })),
      );
      for (const reference of references) {
        const image = await client.getImage(reference);
        expect(await image.isUnpacked({ snapshotter: "overlayfs" })).toBe(true);
      }
      expect(await client.content.listStatuses(client.context(), [])).toEqual([]);
      // Nothing of them stays: the shared layer goes with the last one.
      for (const [i, reference] of references.entries()) {
        await client.images.delete(client.context(), reference, { sync: i === references.length - 1 });
      }
      const names: string[] = [];
      for await (const { name } of client.snapshotter("overlayfs").walk(client.context(), [])) names.push(name);
      expect(names).toEqual([h.busybox.layers[0]?.diffId]);
    });
  },
  180_000,
);

/** Enough that a collection takes many slices. */
const snapshots = 1_500;

ctrdTest(
  "6.1: no call waits for a collection of a large store",
  async () => {
    await withClient(h.daemon, async (client) => {
      const ctx = client.context();
      const snapshotter = client.snapshotter("overlayfs");
      const keys = numbers(snapshots).map((i) => `load-${i}`);
      await each(keys, 64, async (key) => void (await snapshotter.prepare(ctx, key, "", { labels: gcRoot })));
      let collecting = true;
      const record = await client.images.get(ctx, h.image);
      const collect = async (): Promise<number> => {
        let collections = 0;
        for (; collecting; collections++) {
          const name = `example.com/collect:${collections}`;
          await client.images.create(ctx, { ...record, name });
          await client.images.delete(ctx, name, { sync: true });
        }
        return collections;
      };
      const collections = collect();
      const waits: number[] = [];
      for (const key of keys.slice(0, 300)) {
        const asked = performance.now();
        expect((await snapshotter.stat(ctx, key)).name).toBe(key);
        waits.push(performance.now() - asked);
        await sleep(5);
      }
      collecting = false;
      expect(await collections).toBeGreaterThan(2);
      // Most calls come in the middle of a collection. The machine may be busy with other things: hence the median.
      const median = waits.toSorted((a, b) => a - b)[waits.length >> 1] ?? Number.NaN;
      expect(median).toBeLessThan(50);
      await each(keys, 64, (key) => snapshotter.remove(ctx, key));
    });
  },
  120_000,
);

ctrdTest(
  "6.3: a short soak leaves no handle open and no memory growing",
  async () => {
    // Longer, and with a tighter limit: `npm run soak`.
    const { runs, pulls, warm, end } = await soak(h, { seconds: 12, pauseMs: 0 });
    expect(runs).toBeGreaterThan(4);
    expect(pulls).toBeGreaterThan(0);
    expect(end.handles).toBeLessThanOrEqual(warm.handles);
    expect(end.memoryKib).toBeLessThan(warm.memoryKib * 1.5);
    await until("no container is left", async () => (await h.daemon.ctr(["containers", "ls", "-q"])) === "");
  },
  120_000,
);
