/**
 * Spans, and their export to a collector by OTLP, without a daemon.
 *
 * ```ts
 * const settings = exportSettings({ endpoint: "http://127.0.0.1:4318", protocol: "", insecure: false }, process.env);
 * const exporter = openExporter(settings, log);
 * const tracer = createTracer([exporter], { ratio: 1, byParent: true }, { "service.name": "mine" });
 * const span = tracer.start("work", "internal", undefined);
 * span.end();
 * await exporter.close(3000);
 * ```
 *
 * @module
 */
export type { SpanExporter } from "./batch.ts";
export { openExporter } from "./batch.ts";
export type { OtlpConfig, TracingConfig } from "./config.ts";
export type { Environment, ExportSettings, SamplingSettings } from "./environment.ts";
export { exportSettings, samplingSettings } from "./environment.ts";
export { createTracer } from "./tracer.ts";
