import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { z } from "zod";

/** `[plugins."io.containerd.tracing.processor.v1.otlp"]` */
export interface OtlpConfig {
  endpoint: string;
  protocol: string;
  insecure: boolean;
}

const otlpTable = z.object({
  endpoint: z
    .string()
    .default("")
    .describe("URL of the collector, as http://127.0.0.1:4318; empty: OTEL_EXPORTER_OTLP_ENDPOINT, or no traces."),
  protocol: z
    .enum(["", "http/protobuf", "grpc"])
    .default("")
    .describe("http/protobuf or grpc; empty: OTEL_EXPORTER_OTLP_PROTOCOL, or http/protobuf."),
  insecure: z.boolean().default(false).describe("Speak without TLS when the endpoint has no http:// or https://."),
});

/** Schema of {@link OtlpConfig}. */
export const otlpConfig: ConfigSchema<OtlpConfig> = configSchema(otlpTable, () =>
  z.toJSONSchema(otlpTable, { io: "input" }),
);

/** `[plugins."io.containerd.internal.v1.tracing"]` */
export interface TracingConfig {
  service_name: string;
  sampling_ratio: number;
}

const tracingTable = z.object({
  service_name: z.string().default("").describe("Name of this daemon in traces; empty: OTEL_SERVICE_NAME, or ctrd."),
  sampling_ratio: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("Part of the traces begun here that is recorded; 0: as OTEL_TRACES_SAMPLER says, or all."),
});

/** Schema of {@link TracingConfig}. */
export const tracingConfig: ConfigSchema<TracingConfig> = configSchema(tracingTable, () =>
  z.toJSONSchema(tracingTable, { io: "input" }),
);
