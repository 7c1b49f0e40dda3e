import { createServer } from "node:net";
import type { LogFields, Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import { expect, it, vi } from "vitest";
import { startSink, withSink } from "../test/sink.ts";
import type { SpanExporter } from "./batch.ts";
import { openExporter } from "./batch.ts";
import { exportSettings } from "./environment.ts";
import { createTracer } from "./tracer.ts";

function open(endpoint: string, protocol: string, env: Record<string, string> = {}, log: Logger = silentLogger) {
  const settings = exportSettings(
    { endpoint, protocol, insecure: false },
    { OTEL_BSP_SCHEDULE_DELAY: "60000", ...env },
  );
  if (settings === undefined) throw new Error("no settings");
  return openExporter(settings, log);
}

/** A trace of two spans, with a value of each kind. */
function work(exporter: SpanExporter): void {
  const tracer = createTracer([exporter], { ratio: 1, byParent: true }, { "service.name": "test", "process.pid": 1 });
  const root = tracer.start("root", "server", undefined, { text: "ü", count: 7n, part: 0.5, yes: true });
  root.child("child", "client").end(new Error("broken"));
  root.end();
}

const expected = {
  resourceSpans: [
    {
      resource: {
        attributes: [
          { key: "service.name", value: { stringValue: "test" } },
          { key: "process.pid", value: { intValue: "1" } },
        ],
      },
      scopeSpans: [
        {
          scope: { name: "ctrd" },
          spans: [
            expect.objectContaining({
              name: "child",
              kind: "SPAN_KIND_CLIENT",
              parentSpanId: expect.stringMatching(/.{8,}/),
              status: { code: "STATUS_CODE_ERROR", message: "broken" },
            }),
            expect.objectContaining({
              name: "root",
              kind: "SPAN_KIND_SERVER",
              startTimeUnixNano: expect.stringMatching(/^\d{19}$/),
              attributes: [
                { key: "text", value: { stringValue: "ü" } },
                { key: "count", value: { intValue: "7" } },
                { key: "part", value: { doubleValue: 0.5 } },
                { key: "yes", value: { boolValue: true } },
              ],
            }),
          ],
        },
      ],
    },
  ],
};

for (const protocol of ["http/protobuf", "grpc"] as const) {
  for (const compression of ["none", "gzip"]) {
    withSink(`a collector understands ${protocol} (compression ${compression})`, async () => {
      await using sink = await startSink();
      const exporter = open(`http://${protocol === "grpc" ? sink.grpc : sink.http}`, protocol, {
        OTEL_EXPORTER_OTLP_COMPRESSION: compression,
        OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=me",
      });
      work(exporter);
      await exporter.close(10_000);
      await vi.waitUntil(() => sink.lines().length > 0, { timeout: 10_000 });
      const [line, ...more] = sink.lines();
      expect(more).toEqual([]);
      expect(line?.message).toEqual(expected);
      const headers = Object.entries(line?.headers ?? {}).map(([name, values]) => [name.toLowerCase(), values[0]]);
      expect(Object.fromEntries(headers)["x-tenant"]).toBe("me");
    });
  }

  withSink(`a busy collector is asked again by ${protocol}`, async () => {
    await using sink = await startSink("-refuse", "1");
    const exporter = open(`http://${protocol === "grpc" ? sink.grpc : sink.http}`, protocol);
    work(exporter);
    await exporter.close(20_000);
    await vi.waitUntil(() => sink.lines().length > 0, { timeout: 10_000 });
  });
}

withSink("spans wait for others, until they are many", async () => {
  await using sink = await startSink();
  const exporter = open(`http://${sink.http}`, "", { OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "4" });
  work(exporter);
  work(exporter);
  await vi.waitUntil(() => sink.lines().length > 0, { timeout: 10_000 });
  await exporter.close(1000);
  expect(sink.lines()).toHaveLength(1);
});

withSink("a refusal for good is told and not tried again", async () => {
  await using sink = await startSink();
  const warned: LogFields[] = [];
  const log = { ...silentLogger, warn: (fields: LogFields) => void warned.push(fields) };
  const exporter = open(`http://${sink.http}/elsewhere`, "", {}, log);
  work(exporter);
  await exporter.close(10_000);
  expect(warned).toEqual([{ spans: 2, endpoint: `http://${sink.http}`, reason: "HTTP status 404" }]);
});

it("nobody waits for a collector that is not there, and no more than the queue is kept", async () => {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  const warned: LogFields[] = [];
  const log = { ...silentLogger, warn: (fields: LogFields) => void warned.push(fields) };
  const exporter = open(`http://127.0.0.1:${port}`, "", { OTEL_BSP_MAX_QUEUE_SIZE: "10" }, log);
  for (let i = 0; i < 50; i++) work(exporter);
  expect(warned).toHaveLength(1);
  expect(warned[0]?.["reason"]).toBe("too many wait");
  const start = performance.now();
  await exporter.close(300);
  expect(performance.now() - start).toBeLessThan(3000);
});
