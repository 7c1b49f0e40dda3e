/** What a daemon tells of itself: traces, metrics, and what its debug socket gives. */
import { readFile, stat } from "node:fs/promises";
import { freePort } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { cliOf, type Cli } from "./support/cli.ts";
import { exited, run, runOk, until } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { startOtlpSink, type OtlpSink, type SinkSpan } from "./support/otlp-sink.ts";
import { crictl, ctr2, ctrdTest, otlpSink, peerTest, tracedShim } from "./support/peers.ts";

describe("traces", () => {
  let sink: OtlpSink;
  let h: Harness;

  beforeAll(async () => {
    sink = await startOtlpSink();
    // The daemon inherits it.
    process.env["OTEL_BSP_SCHEDULE_DELAY"] = "200";
    const config = `
[plugins."io.containerd.tracing.processor.v1.otlp"]
endpoint = "http://${sink.http}"
[plugins."io.containerd.internal.v1.tracing"]
service_name = "ctrd-e2e"
[plugins."io.containerd.shim.v1.manager"]
env = ["OTEL_EXPORTER_OTLP_ENDPOINT=http://${sink.http}", "OTEL_BSP_SCHEDULE_DELAY=100"]
`;
    h = await openHarness("traces", { config, pull: false });
  });
  afterAll(async () => {
    delete process.env["OTEL_BSP_SCHEDULE_DELAY"];
    await h?.close();
    await sink?.[Symbol.asyncDispose]();
  });

  const named = (name: string) => (span: SinkSpan) => span.name === name;
  const children = (parent: SinkSpan): SinkSpan[] =>
    sink.spans().filter(({ parentSpanId }) => parentSpanId === parent.spanId);
  const below = (parent: SinkSpan): SinkSpan[] => children(parent).flatMap((child) => [child, ...below(child)]);

  peerTest(
    "a pull has a span for each request to the registry, each fetch and each layer",
    [ctr2, otlpSink],
    async () => {
      await runOk(ctr2, [...h.daemon.flags(), "images", "pull", "--plain-http", h.image], {
        env: { TMPDIR: h.daemon.tmp },
      });
      const rpc = await sink.span("Transfer", named("containerd.services.transfer.v1.Transfer/Transfer"));
      expect(rpc).toMatchObject({ kind: "SPAN_KIND_SERVER", service: "ctrd-e2e", parentSpanId: "", error: undefined });
      const spans = below(rpc);
      const pull = spans.find(named("pull"));
      expect(pull).toMatchObject({ traceId: rpc.traceId, attributes: { "image.ref": h.image } });
      const digest = h.busybox.layers[0]?.descriptor.digest;
      const ofLayer = (name: string): SinkSpan | undefined =>
        spans.find((span) => span.name === name && span.attributes["content.digest"] === digest);
      const fetch = ofLayer("pull.fetch");
      expect(ofLayer("pull.unpack")).toBeDefined();
      const get = children(fetch as SinkSpan).find(named("HTTP GET"));
      expect(get).toMatchObject({ kind: "SPAN_KIND_CLIENT", attributes: { "http.response.status_code": "200" } });
      expect(get?.attributes["url.full"]).toBe(`http://${h.registry.host}/v2/e2e/busybox/blobs/${digest}`);
      for (const span of spans) {
        expect(span.endNs).toBeGreaterThanOrEqual(span.startNs);
        expect(span.startNs).toBeGreaterThanOrEqual(rpc.startNs);
      }
      const names = new Set(spans.map(({ name }) => name));
      for (const name of ["pull.resolve", "snapshot.create", "snapshot.commit", "HTTP HEAD"])
        expect(names).toContain(name);
    },
  );

  peerTest("a failed pull tells why", [ctr2, otlpSink], async () => {
    const missing = `${h.registry.host}/e2e/none:1`;
    const failed = await run(ctr2, [...h.daemon.flags(), "images", "pull", "--plain-http", missing]);
    expect(failed.code).not.toBe(0);
    const resolve = await sink.span("resolve", ({ name, error }) => name === "pull.resolve" && error !== undefined);
    expect(resolve.error).toContain(missing);
  });

  peerTest("a caller's trace is gone on with", [crictl, otlpSink], async () => {
    const flags = [
      "--enable-tracing",
      "--tracing-endpoint",
      sink.grpc,
      "--tracing-sampling-rate-per-million",
      "1000000",
    ];
    await runOk(crictl, [...criFlags(h), ...flags, "pods"]);
    // Of its calls only the first is sent before it exits.
    const ours = await sink.span(
      "of Version",
      ({ service, name }) => service === "ctrd-e2e" && name === "runtime.v1.RuntimeService/Version",
    );
    const theirs = await sink.span("of crictl", ({ spanId }) => spanId === ours.parentSpanId);
    expect(theirs).toMatchObject({ service: "cri-tools", traceId: ours.traceId, protocol: "grpc" });
  });

  peerTest("a task's creation reaches the shim, whose spans are parts of ours", [tracedShim, otlpSink], async () => {
    await h.daemon.ctr(["images", "pull", "--plain-http", h.image]);
    const id = h.daemon.id("traced");
    await h.daemon.ctr(["run", "--rm", "--runtime", tracedShim, h.image, id, "sleep", "0.5"]);
    const rpc = await sink.span("Create", named("containerd.services.tasks.v1.Tasks/Create"));
    const ours = below(rpc).filter(({ service }) => service === "ctrd-e2e");
    const names = new Set(ours.map(({ name }) => name));
    for (const name of ["task.bundle", "shim.start", "shim.connect", "containerd.task/create"])
      expect(names).toContain(name);
    const call = ours.find(named("containerd.task/create")) as SinkSpan;
    const inShim = await sink.span("of the shim", ({ parentSpanId }) => parentSpanId === call.spanId);
    expect(inShim).toMatchObject({ traceId: rpc.traceId, kind: "SPAN_KIND_SERVER" });
    // It names itself after the program.
    expect(inShim.service).toMatch(/^containerd-shim-traced-/);
    const mounts = sink.spans().find(named("snapshot.mounts"));
    expect(mounts?.parentSpanId).not.toBe("");
  });
});

/** The daemon of a harness, to crictl. */
const criFlags = (h: Harness): string[] => ["--runtime-endpoint", `unix://${h.daemon.address}`, "--timeout", "20s"];

describe("metrics", () => {
  let h: Harness;
  let real: Harness | undefined;
  let id: string;

  const metricsConfig = (port: number): string => `
[metrics]
address = "127.0.0.1:${port}"
grpc_histogram = true
`;
  const scrape = async (port: number): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/metrics`);
    expect(response.status).toBe(200);
    return response.text();
  };
  const typesOf = (text: string): Map<string, string> =>
    new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => [name, type]));
  const samplesOf = (text: string, name: string): string[] =>
    text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));

  let port: number;
  let realPort: number;
  beforeAll(async () => {
    [port, realPort] = [await freePort(), await freePort()];
    h = await openHarness("metrics", { config: metricsConfig(port) });
    id = h.daemon.id("metered");
    await h.daemon.ctr(["run", "-d", h.image, id, "sleep", "120"]);
  });
  afterAll(async () => {
    if (h !== undefined) await removeTask(h, id);
    await h?.close();
  });

  const removeTask = async (of: Harness, task: string): Promise<void> => {
    await of.daemon.tryCtr(["tasks", "kill", "-s", "9", task]);
    await until("the task has stopped", async () => {
      const line = (await of.daemon.ctr(["tasks", "ls"])).split("\n").find((each) => each.startsWith(task));
      return line === undefined || line.includes("STOPPED");
    });
    await of.daemon.tryCtr(["tasks", "rm", task]);
    await of.daemon.tryCtr(["containers", "rm", task]);
  };

  ctrdTest(
    "are those of a real containerd, in name, type and labels, and more",
    async () => {
      // Of Go itself, and of Prometheus' library for it.
      const isGos = (name: string): boolean => /^(go_|promhttp_)/.test(name);
      real = await openHarness("real-metrics", { kind: "containerd", config: metricsConfig(realPort) });
      const theirId = real.daemon.id("metered");
      try {
        await real.daemon.ctr(["run", "-d", real.image, theirId, "sleep", "120"]);
        const theirs = await scrape(realPort);
        const ours = await scrape(port);
        const ourTypes = typesOf(ours);
        const missing = [...typesOf(theirs)].filter(([name, type]) => !isGos(name) && ourTypes.get(name) !== type);
        // What CRI's containers write is read by a thread, which counts nothing.
        const counts = ["input_bytes", "input_entries", "output_bytes", "output_entries", "split_entries"];
        expect(missing.map(([name]) => name)).toEqual(counts.map((name) => `containerd_cri_${name}_total`));
        const labels = (text: string, name: string, container: string): string[] =>
          samplesOf(text, name).map((line) => (/\{(.*)\}/.exec(line)?.[1] ?? "").replaceAll(container, "ID"));
        for (const name of [
          "container_memory_usage_usage_bytes",
          "container_pids_current",
          "container_memory_usage_bytes",
        ]) {
          const plain = (text: string, harness: Harness, container: string): string[] =>
            labels(text, name, container).map((each) => each.replaceAll(harness.daemon.namespace, "NS"));
          expect(plain(ours, h, id)).toEqual(plain(theirs, real, theirId));
        }
        const ofTasks = samplesOf(ours, "grpc_server_msg_received_total").filter((line) => line.includes('"Create"'));
        expect(ofTasks.length).toBeGreaterThan(0);
      } finally {
        await removeTask(real, theirId);
        await real.close();
      }
    },
    60_000,
  );

  peerTest("count what CRI does", [crictl], async () => {
    await runOk(crictl, [...criFlags(h), "ps"]);
    await run(crictl, [...criFlags(h), "pull", `${h.registry.host}/e2e/none:1`]);
    const text = await scrape(port);
    expect(samplesOf(text, "containerd_cri_container_list_seconds_count")).toEqual([
      expect.stringMatching(/^containerd_cri_container_list_seconds_count [1-9]/),
    ]);
    expect(samplesOf(text, "containerd_cri_sandboxed_image_pulls_total")).toEqual([
      'containerd_cri_sandboxed_image_pulls_total{status="failure"} 1',
    ]);
    expect(samplesOf(text, "containerd_cri_sandboxed_in_progress_image_pulls_total")[0]).toMatch(/ 0$/);
  });

  ctrdTest("say how containers, the event loop, threads and collections are", async () => {
    const text = await scrape(port);
    const pids = samplesOf(text, "container_pids_current").find((line) => line.includes(id));
    expect(Number(pids?.split(" ").at(-1))).toBeGreaterThanOrEqual(1);
    for (const name of ["nodejs_eventloop_lag_p99_seconds", "nodejs_eventloop_utilization"]) {
      const value = Number(samplesOf(text, name)[0]?.split(" ")[1]);
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThan(60);
    }
    expect(samplesOf(text, "ctrd_threads").some((line) => line.includes("libuv-worker"))).toBe(true);
    await h.daemon.ctr(["content", "prune", "references"]);
    const collected = await until("a collection is counted", async () =>
      samplesOf(await scrape(port), "containerd_gc_collections_total").find((line) => line.includes("success")),
    );
    expect(Number(collected.split(" ").at(-1))).toBeGreaterThanOrEqual(1);
    // It goes with its container.
    await removeTask(h, id);
    expect(samplesOf(await scrape(port), "container_pids_current").filter((line) => line.includes(id))).toEqual([]);
  });
});

describe("debug", () => {
  let h: Harness;
  let cli: Cli;

  beforeAll(async () => {
    h = await openHarness("debug");
    cli = cliOf(h);
  });
  afterAll(() => h?.close());

  ctrdTest("a profile shows where the time of a busy daemon goes", async () => {
    const file = h.path("busy.cpuprofile");
    let isOver = false;
    const profiled = cli.ctrd("debug", "profile", "--seconds", "2", "--output", file).finally(() => (isOver = true));
    // Until the profile is taken: when it begins is not known here.
    while (!isOver) await h.daemon.ctr(["images", "pull", "--plain-http", h.image]);
    await profiled;
    const profile = JSON.parse(await readFile(file, "utf8")) as {
      nodes: { callFrame: { functionName: string; url: string } }[];
      samples: number[];
      startTime: number;
      endTime: number;
    };
    expect(profile.endTime - profile.startTime).toBeGreaterThan(1_900_000);
    expect(profile.samples.length).toBeGreaterThan(100);
    expect(profile.nodes.some(({ callFrame }) => callFrame.url.includes("/packages/services/"))).toBe(true);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const again = await cli.attempt(["debug", "profile", "--seconds", "1", "--output", file]);
    expect(again.stderr).toContain("is there already");
  });

  ctrdTest("a heap snapshot is one, and the daemon goes on", async () => {
    const file = h.path("daemon.heapsnapshot");
    await cli.ctrd("debug", "heap", "--output", file);
    const snapshot = JSON.parse(await readFile(file, "utf8")) as { snapshot: { node_count: number }; nodes: number[] };
    expect(snapshot.snapshot.node_count).toBeGreaterThan(10_000);
    expect(snapshot.nodes.length).toBeGreaterThan(snapshot.snapshot.node_count);
    await h.daemon.ctr(["version"]);
  });

  ctrdTest("stacks name calls that are under way, threads and what the event loop does", async () => {
    const id = h.daemon.id("waited");
    const waiting = h.daemon.spawnCtr(["run", "--rm", h.image, id, "sleep", "100"]);
    const stacks = JSON.parse(await cli.ctrd("debug", "stacks", "--json")) as {
      pid: number;
      threads: { name: string; state: string }[];
      operations: { name: string }[];
    };
    const seen = await until("the wait is under way", async () => {
      const { operations } = JSON.parse(await cli.ctrd("debug", "stacks", "--json")) as typeof stacks;
      return operations.find(({ name }) => name.includes("Wait"));
    });
    expect(seen.name).toContain("Tasks/Wait");
    expect(stacks.pid).toBe(h.daemon.pid);
    expect(stacks.threads.some(({ name }) => name === "libuv-worker")).toBe(true);
    const text = await cli.ctrd("debug", "stacks");
    expect(text).toMatch(/event loop: +[\d.]+% busy/);
    expect(text).toContain("Tasks/Wait");
    await h.daemon.ctr(["tasks", "kill", "-s", "9", id]);
    await exited(waiting);
  });

  ctrdTest("a dump has the state of all, and no environment; SIGUSR1 logs it", async () => {
    const dump = JSON.parse(await cli.ctrd("debug", "dump", "--output", "-")) as Record<
      string,
      Record<string, unknown>
    >;
    expect(dump["report"]).toHaveProperty("javascriptStack");
    expect(dump["report"]).toHaveProperty("libuv");
    // Neither of the process nor of its worker threads.
    const text = JSON.stringify(dump);
    expect([text.includes('"workers"'), text.includes("environmentVariables")]).toEqual([true, false]);
    expect(dump["plugins"]).toContainEqual(
      expect.objectContaining({ plugin: "io.containerd.server.v1.debug", state: "ok" }),
    );
    process.kill(h.daemon.pid, "SIGUSR1");
    await until("the state is in the log", () => h.daemon.logs().includes("state of the process"));
  });

  ctrdTest("the socket is its owner's alone", async () => {
    const socket = `${h.daemon.state}/debug.sock`;
    expect((await stat(socket)).mode & 0o777).toBe(0o600);
    const flags = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    const get = ["curl", "-sS", "--unix-socket", socket, "http://d/debug/dump"];
    expect((await run("curl", get.slice(1))).code).toBe(0);
    expect((await run("setpriv", [...flags, ...get])).code).not.toBe(0);
    const bad = await run("curl", ["-s", "--unix-socket", socket, "http://d/debug/profile?seconds=0"]);
    expect(bad.stdout).toContain("seconds");
  });
});
