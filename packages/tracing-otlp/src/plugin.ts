import { hostname } from "node:os";
import type { AnyRegistration, Registration } from "@ctrd/core/plugin";
import { optional, SkipPlugin } from "@ctrd/core/plugin";
import type { SpanProcessor, Tracer } from "@ctrd/core/tracing";
import { TracerRef, TracingProcessorPlugin } from "@ctrd/core/tracing";
import type { OtlpConfig, TracingConfig } from "./config.ts";
import { otlpConfig, tracingConfig } from "./config.ts";
import { exportSettings, resourceAttributes, samplingSettings, switchedOff } from "./environment.ts";

/** How long the last spans may take at the daemon's end, in milliseconds. */
const closeMs = 3_000;

const otlp: Registration<SpanProcessor, OtlpConfig> = {
  type: TracingProcessorPlugin,
  id: "otlp",
  config: otlpConfig,
  async initFn(ic) {
    const off = switchedOff(process.env);
    if (off !== undefined) throw new SkipPlugin(`traces are switched off by ${off}`, `unset ${off}`);
    const settings = exportSettings(ic.config, process.env);
    if (settings === undefined) {
      throw new SkipPlugin("no endpoint for traces is configured", "set endpoint, or OTEL_EXPORTER_OTLP_ENDPOINT");
    }
    // Not before it is needed: most daemons have no collector.
    const { openExporter } = await import("./batch.ts");
    const exporter = openExporter(settings, ic.log);
    ic.onClose(() => exporter.close(closeMs));
    ic.meta.exports.set("endpoint", settings.url.href);
    return exporter;
  },
};

const tracing: Registration<Tracer, TracingConfig> = {
  type: TracerRef.type,
  id: TracerRef.id,
  requires: [optional(TracingProcessorPlugin)],
  config: tracingConfig,
  async initFn(ic) {
    const processors = ic.getAll(TracingProcessorPlugin);
    if (processors.length === 0) throw new SkipPlugin("no plugin takes traces", "configure one, as otlp");
    const { createTracer } = await import("./tracer.ts");
    const resource = {
      ...resourceAttributes(ic.config, process.env),
      "service.version": ic.daemon.version,
      "host.name": hostname(),
      "process.pid": process.pid,
    };
    return createTracer(processors, samplingSettings(ic.config, process.env), resource);
  },
};

const registrations: readonly AnyRegistration[] = [otlp, tracing];
export default registrations;
