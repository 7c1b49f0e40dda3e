import { setTimeout as sleep } from "node:timers/promises";
import { PullEnded, PullStarted } from "@ctrd/api/ctrd/progress/v1/progress";
import { createContext, withSignal } from "@ctrd/core/context";
import type { Pull, PullTracker } from "@ctrd/core/pulls";
import { pullStates } from "@ctrd/core/pulls";
import type { Any } from "@ctrd/core/records";
import type { ProgressListener } from "@ctrd/core/remotes";
import { expect, test } from "vitest";
import { createPullTracker, PullMetrics } from "./index.ts";

const ctx = createContext({ namespace: "k8s.io" });
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: "sha256:l", size: 100n };
const descriptor = { ...layer, annotations: new Map<string, string>() };
const name = "layer-sha256:l";
const image = "r.test/x:1";

interface Published {
  topic: string;
  namespace: string;
  event: Any;
}

function open(): { pulls: PullTracker; metrics: PullMetrics; published: Published[] } {
  const metrics = new PullMetrics();
  const published: Published[] = [];
  const events = {
    publish: async ({ namespace }: { namespace: string }, topic: string, event: Any) =>
      void published.push({ topic, namespace, event }),
  };
  return { pulls: createPullTracker({ events, metrics }), metrics, published };
}

function samples(metrics: PullMetrics): Map<string, number> {
  const all = new Map<string, number>();
  metrics.write({
    family: () => {},
    sample: (of, labels, value) => void all.set(`${of}${Object.values(labels).join()}`, value),
  });
  return all;
}

/** Begins a pull that goes on until it is let go. */
function begin(
  pulls: PullTracker,
  reference = image,
): { tell: ProgressListener; end: (error?: Error) => void; result: Promise<string> } {
  let tell: ProgressListener = () => {};
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const start = { reference, client: "cri", snapshotter: "overlayfs" };
  const result = pulls.follow(ctx, start, (progress) => {
    tell = progress;
    return promise;
  });
  result.catch(() => {});
  const end = (error?: Error): void => (error === undefined ? resolve("image") : reject(error));
  return { tell, end, result };
}

test("a pull that runs is listed with its contents, and later among those that have ended", async () => {
  const { pulls } = open();
  const { tell, end, result } = begin(pulls);
  tell({ stage: "resolved", name: image, descriptor });
  tell({ stage: "downloading", name, descriptor, offset: 10n });
  const served = { host: "r.test", attempts: [{ host: "mirror.test", error: "404" }] };
  tell({ stage: "downloading", name, descriptor, offset: 60n, served });
  expect(await pulls.list(ctx, "")).toMatchObject([
    {
      ...{ reference: image, namespace: "k8s.io", client: "cri", snapshotter: "overlayfs", stage: "fetching" },
      ...{ state: pullStates.running, target: { digest: "sha256:l" }, fetchedBytes: 50n, endedAt: undefined },
      contents: [{ name, stage: "downloading", offset: 60n, servedBy: "r.test", attempts: ["mirror.test: 404"] }],
    },
  ]);
  expect(await pulls.list(ctx, "other.test/y:1")).toEqual([]);
  tell({ stage: "complete", name, descriptor, offset: 100n });
  tell({ stage: "extracting", name, descriptor });
  end();
  expect(await result).toBe("image");
  expect(await pulls.list(ctx, "")).toEqual([]);
  expect(await pulls.list(ctx, image, true)).toMatchObject([
    { state: pullStates.complete, error: "", fetchedBytes: 90n, contents: [{ stage: "extracting", offset: 100n }] },
  ]);
});

test("content that was there, and what was there of an ingest that is gone on with, has not been fetched", async () => {
  const { pulls } = open();
  const { tell, end } = begin(pulls);
  tell({ stage: "exists", name, descriptor });
  tell({ stage: "downloading", name: "layer-sha256:m", descriptor, offset: 40n });
  tell({ stage: "complete", name: "layer-sha256:m", descriptor, offset: 100n });
  expect(await pulls.list(ctx, "")).toMatchObject([{ fetchedBytes: 60n }]);
  end();
});

test("a failure is kept, counted and published", async () => {
  const { pulls, metrics, published } = open();
  const { end, result } = begin(pulls);
  expect(samples(metrics).get("ctrd_pulls_runningcri")).toBe(1);
  end(new Error("no such host"));
  await expect(result).rejects.toThrow("no such host");
  expect(await pulls.list(ctx, "", true)).toMatchObject([{ state: pullStates.failed, error: "no such host" }]);
  const counted = samples(metrics);
  expect(counted.get("ctrd_pulls_runningcri")).toBe(0);
  expect(counted.get("ctrd_pulls_totalcri,failed")).toBe(1);
  expect(counted.get("ctrd_pull_duration_seconds_countcri")).toBe(1);
  expect(published.map(({ topic, namespace }) => [topic, namespace])).toEqual([
    ["/ctrd/pulls/start", "k8s.io"],
    ["/ctrd/pulls/end", "k8s.io"],
  ]);
  const [started, ended] = published;
  expect(PullStarted.decode(started?.event.value ?? new Uint8Array())).toMatchObject({ reference: image });
  expect(PullEnded.decode(ended?.event.value ?? new Uint8Array())).toMatchObject({ error: "no such host" });
});

test("a watcher gets the whole first, then what has changed, and the end", async () => {
  const { pulls } = open();
  const before = begin(pulls, "old.test/x:1");
  before.end();
  await before.result;
  const { tell, end, result } = begin(pulls);
  tell({ stage: "downloading", name: "config-sha256:c", descriptor, offset: 0n });
  const watching = new AbortController();
  const seen: Pull[] = [];
  const watched = (async () => {
    for await (const some of pulls.watch(withSignal(ctx, watching.signal), "")) {
      seen.push(...some);
      if (seen.length === 1) tell({ stage: "downloading", name, descriptor, offset: 5n });
      if (seen.length === 2) end();
      if (some.some(({ state }) => state !== pullStates.running)) watching.abort();
    }
  })();
  await watched;
  await result;
  expect(seen.every(({ reference }) => reference === image)).toBe(true);
  expect(seen.map(({ contents }) => contents.map((content) => content.name))).toEqual([
    ["config-sha256:c"],
    [name],
    [],
  ]);
  expect(seen.at(-1)).toMatchObject({ state: pullStates.complete });
});

test("a watcher that leaves is forgotten, also without a message", async () => {
  const { pulls } = open();
  const watching = new AbortController();
  const watched = pulls.watch(withSignal(ctx, watching.signal), "")[Symbol.asyncIterator]().next();
  await sleep(5);
  watching.abort();
  expect((await watched).done).toBe(true);
});

test("of those that have ended the latest are kept", async () => {
  const { pulls } = open();
  for (let count = 0; count < 70; count++) {
    const { end, result } = begin(pulls, `r.test/x:${count}`);
    end();
    await result;
  }
  const kept = await pulls.list(ctx, "", true);
  expect(kept.map(({ reference }) => reference).slice(0, 1)).toEqual(["r.test/x:6"]);
  expect(kept.length).toBe(64);
});
