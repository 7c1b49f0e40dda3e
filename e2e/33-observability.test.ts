/** What a daemon tells of itself: traces, metrics, and what its debug socket gives. */
import { freePort } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { run, runOk, until } from "./support/command.ts";
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
