/** Issue 5, Build 9: the progress of pulls, whoever asks for them, by a service of our own, events and metrics. */
import { randomBytes } from "node:crypto";
import { PullEnded, PullStarted } from "@ctrd/api/ctrd/progress/v1/progress";
import { ImageSpec } from "@ctrd/api/cri/runtime/v1/api";
import { connect } from "@ctrd/client";
import type { Client } from "@ctrd/client";
import { withSignal } from "@ctrd/core/context";
import type { Pull } from "@ctrd/core/pulls";
import { pullStates } from "@ctrd/core/pulls";
import type { BuiltImage, FaultProxy } from "@ctrd/testkit/fixtures";
import { buildImage, freePort, pushImage, startContainerd, startFaultProxy } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cliOf } from "./support/cli.ts";
import type { Cli } from "./support/cli.ts";
import { exited, start, until } from "./support/command.ts";
import type { CriHarness } from "./support/cri.ts";
import { openCri } from "./support/cri.ts";
import { ctr2, peerTest } from "./support/peers.ts";

let cri: CriHarness;
let cli: Cli;
let client: Client;
/** Before the registry, so that pulls can be held up. */
let proxy: FaultProxy;
let metrics: string;

beforeAll(async () => {
  const port = await freePort();
  metrics = `http://127.0.0.1:${port}/v1/metrics`;
  const images = `[plugins."io.containerd.cri.v1.images"]\nconcurrent_layer_fetch_buffer = ${4 << 20}\n`;
  cri = await openCri("pulls", `${images}[plugins."io.containerd.server.v1.metrics"]\naddress = "127.0.0.1:${port}"\n`);
  cli = cliOf(cri.h);
  client = await connect(cri.h.daemon.address, { namespace: cri.h.daemon.namespace });
  proxy = await startFaultProxy(cri.h.registry.host);
});
afterAll(async () => {
  client?.close();
  await proxy?.[Symbol.asyncDispose]();
  await cri?.close();
});

/** Pushes an image of two layers that no other test has. @returns its name behind the proxy */
async function push(name: string, size = 3_000_000): Promise<{ image: string; built: BuiltImage }> {
  const layer = (path: string) => ({ entries: [{ path, data: randomBytes(size) }] });
  const built = await buildImage({ layers: [layer("a"), layer("b")] });
  await pushImage(cri.h.registry, `e2e/${name}`, "1", built);
  return { image: `${proxy.host}/e2e/${name}:1`, built };
}

/** Stops each transfer of a layer after 2 MiB, until it is let go. */
function holdUp({ layers }: BuiltImage): () => void {
  const held = new Set(layers.map(({ descriptor }) => descriptor.digest));
  proxy.onRequest(({ method, url }) =>
    method === "GET" && [...held].some((digest) => url.endsWith(digest)) ? { stallAfter: 2 << 20 } : undefined,
  );
  return () => proxy.onRequest(() => undefined);
}

/** The pull of an image once its layers are under way. */
function underWay(image: string): Promise<Pull> {
  return until("both layers are under way", async () => {
    const [pull] = await client.services.pullService.list(client.context(), image);
    const moving = pull?.contents.filter(({ stage, offset }) => stage === "downloading" && offset >= 1n << 20n) ?? [];
    return moving.length === 2 ? pull : undefined;
  });
}

async function metric(line: string): Promise<number> {
  const text = await (await fetch(metrics)).text();
  const found = text.split("\n").find((one) => one.startsWith(`${line} `));
  return Number(found?.slice(line.length + 1) ?? Number.NaN);
}

test("5: a pull of CRI is listed with its layers while it runs, watched, counted and told as events", async () => {
  const { image, built } = await push("by-cri");
  const letGo = holdUp(built);
  const events: [string, unknown][] = [];
  const over = new AbortController();
  const subscription = client.subscribe(['topic~="^/ctrd/pulls/"'], { signal: over.signal });
  const listening = (async () => {
    for await (const { topic, namespace, event } of subscription) {
      const message = topic.endsWith("start") ? PullStarted : PullEnded;
      events.push([`${namespace} ${topic}`, message.decode(event?.value ?? new Uint8Array())]);
    }
  })().catch(() => {});
  const giveUp = new AbortController();
  const spec = ImageSpec.fromPartial({ image });
  const request = { image: spec, auth: undefined, sandboxConfig: undefined };
  const pulled = cri.images.pullImage(withSignal(cri.ctx, giveUp.signal), request);
  pulled.catch(() => {});
  const pull = await underWay(image);
  expect(pull).toMatchObject({ client: "cri", namespace: "k8s.io", snapshotter: "overlayfs", stage: "fetching" });
  expect(pull.target?.digest).toBe(built.root.descriptor.digest);
  const names = pull.contents.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(built.layers.map(({ descriptor }) => `layer-${descriptor.digest}`)));
  expect(pull.contents.find(({ name }) => name.startsWith("layer"))).toMatchObject({ servedBy: proxy.host });
  expect(await metric('ctrd_pulls_running{client="cri"}')).toBe(1);

  // The command that watches sees the failure of what it watches.
  const watch = start(cli.command[0] ?? "", [...cli.command.slice(1), "pull", "--watch", image], { env: cli.env });
  let plain = "";
  watch.stdout?.on("data", (data: Buffer) => (plain += data.toString()));
  const json = start(cli.command[0] ?? "", [...cli.command.slice(1), "pull", "--watch", "--json"], { env: cli.env });
  let lines = "";
  json.stdout?.on("data", (data: Buffer) => (lines += data.toString()));
  await until("both watchers have the pull", () => lines.includes(image) && plain.includes("downloading"), 30_000);
  giveUp.abort();
  await expect(pulled).rejects.toThrow();
  expect(await exited(watch)).toBe(1);
  expect(plain).toMatch(/^layer [0-9a-f]{12}: downloading$/m);
  expect(plain).toContain(`${image} (cri in k8s.io): failed`);
  await until("the end in JSON", () => lines.includes('"state":"failed"'));
  json.kill("SIGINT");
  expect(await exited(json)).toBe(0);

  letGo();
  await cri.images.pullImage(cri.ctx, request);
  expect(await client.services.pullService.list(client.context(), image)).toEqual([]);
  const ended = await client.services.pullService.list(client.context(), image, true);
  expect(ended.map(({ state }) => state)).toEqual([pullStates.failed, pullStates.complete]);
  expect(await metric('ctrd_pulls_running{client="cri"}')).toBe(0);
  expect(await metric('ctrd_pulls_total{client="cri",result="failed"}')).toBe(1);
  expect(await metric('ctrd_pull_fetched_bytes_total{client="cri"}')).toBeGreaterThan(6_000_000);
  await until("all events", () => events.length === 4);
  over.abort();
  await listening;
  expect(events.map(([topic]) => topic)).toEqual([
    "k8s.io /ctrd/pulls/start",
    "k8s.io /ctrd/pulls/end",
    "k8s.io /ctrd/pulls/start",
    "k8s.io /ctrd/pulls/end",
  ]);
  expect(events[3]?.[1]).toMatchObject({ reference: image, error: "", digest: built.root.descriptor.digest });
});

peerTest(
  "5: ctrd pull --watch waits for a pull, here of ctr 2.x through the Transfer service, and ends with it",
  [ctr2],
  async () => {
    const { image } = await push("by-transfer", 300_000);
    const watch = start(cli.command[0] ?? "", [...cli.command.slice(1), "pull", "--watch", image], { env: cli.env });
    let [out, err] = ["", ""];
    watch.stdout?.on("data", (data: Buffer) => (out += data.toString()));
    watch.stderr?.on("data", (data: Buffer) => (err += data.toString()));
    await until("it waits", () => err.includes(`waiting for a pull of ${image}`), 20_000);
    const pull = start(ctr2, [...cri.h.daemon.flags(), "images", "pull", "--plain-http", image], {});
    expect(await exited(pull)).toBe(0);
    expect(await exited(watch)).toBe(0);
    expect(out).toContain(`${image} (transfer in ${cri.h.daemon.namespace}): saved`);
    expect(out).toMatch(/^layer [0-9a-f]{12}: extracted$/m);
  },
);

test("5: concurrent_layer_fetch_buffer: a layer that is larger is fetched in pieces of that size", async () => {
  const { image, built } = await push("in-pieces", 9_000_000);
  proxy.onRequest(() => undefined);
  await cri.crictl("pull", image);
  const digest = built.layers[0]?.descriptor.digest ?? "";
  const asked = proxy.requests.filter(({ method, url }) => method === "GET" && url.endsWith(digest));
  const ranges = asked.map(({ headers }) => headers.range).toSorted();
  expect(ranges.slice(0, 2)).toEqual([`bytes=0-${(4 << 20) - 1}`, `bytes=${4 << 20}-${(8 << 20) - 1}`]);
  expect(ranges.length).toBe(3);
});

test("5: ctrd pull without an image, and against a daemon that tells nothing of pulls", async () => {
  const none = await cli.attempt(["pull"]);
  expect([none.code === 0, none.stderr]).toEqual([false, expect.stringContaining("missing required argument")]);
  const other = await cli.attempt(["pull", "--watch"], { env: { CTRD_ADDRESS: "/nonexistent.sock" } });
  expect(other.stderr).toContain("no daemon");
  await using containerd = await startContainerd();
  const silent = await cli.attempt(["pull", "--watch"], { env: { CTRD_ADDRESS: containerd.address } });
  expect(silent).toMatchObject({ code: 1, stderr: expect.stringContaining("the daemon does not tell of pulls") });
});
