/** What a daemon tells of itself: traces, metrics, and what its debug socket gives. */
import { afterAll, beforeAll, describe, expect } from "vitest";
import { pushImage } from "@ctrd/testkit/fixtures";
import { run, runOk } from "./support/command.ts";
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
