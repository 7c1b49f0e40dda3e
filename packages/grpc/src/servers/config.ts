import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { defaultMaxMessageBytes } from "@ctrd/services";
import { z } from "zod";

const owner = {
  uid: z
    .int()
    .min(0)
    .default(process.geteuid?.() ?? 0)
    .describe("Owner of the socket; the daemon's effective user by default."),
  gid: z
    .int()
    .min(0)
    .default(process.getegid?.() ?? 0)
    .describe("Group of the socket; the daemon's effective group by default."),
};

const messageSize = z.int().positive().default(defaultMaxMessageBytes);

/** `[plugins."io.containerd.server.v1.grpc"]` */
export interface GrpcServerConfig {
  address: string;
  uid: number;
  gid: number;
  max_recv_message_size: number;
  max_send_message_size: number;
}

const grpcTable = z.object({
  address: z.string().default("").describe("Path of the gRPC socket; the daemon's address when empty."),
  ...owner,
  max_recv_message_size: messageSize.describe("Largest request in bytes."),
  max_send_message_size: messageSize.describe("Largest answer in bytes."),
});

/** Schema of {@link GrpcServerConfig}. */
export const grpcServerConfig: ConfigSchema<GrpcServerConfig> = configSchema(grpcTable, () =>
  z.toJSONSchema(grpcTable, { io: "input" }),
);

/** `[plugins."io.containerd.server.v1.grpc-tcp"]` */
export interface TcpServerConfig {
  address: string;
  tls_ca: string;
  tls_cert: string;
  tls_key: string;
  tls_common_name: string;
  max_recv_message_size: number;
  max_send_message_size: number;
}

const tcpTable = z.object({
  address: z.string().default("").describe("TCP address of services that allow it, <host>:<port>; off when empty."),
  tls_ca: z.string().default("").describe("Certificates of which clients must have one; none is asked for when empty."),
  tls_cert: z.string().default("").describe("Certificate to serve over TLS with; without TLS when empty."),
  tls_key: z.string().default("").describe("Its key."),
  tls_common_name: z.string().default("").describe("Of a certificate of Windows; not used."),
  max_recv_message_size: messageSize.describe("Largest request in bytes."),
  max_send_message_size: messageSize.describe("Largest answer in bytes."),
});

/** Schema of {@link TcpServerConfig}. */
export const tcpServerConfig: ConfigSchema<TcpServerConfig> = configSchema(tcpTable, () =>
  z.toJSONSchema(tcpTable, { io: "input" }),
);

/** `[plugins."io.containerd.server.v1.ttrpc"]` */
export interface TtrpcServerConfig {
  address: string;
  uid: number;
  gid: number;
}

const ttrpcTable = z.object({
  address: z.string().default("").describe("Path of the ttrpc socket; the gRPC address with .ttrpc when empty."),
  ...owner,
});

/** Schema of {@link TtrpcServerConfig}. */
export const ttrpcServerConfig: ConfigSchema<TtrpcServerConfig> = configSchema(ttrpcTable, () =>
  z.toJSONSchema(ttrpcTable, { io: "input" }),
);

/** `[plugins."io.containerd.server.v1.metrics"]` */
export interface MetricsServerConfig {
  address: string;
}

const metricsTable = z.object({
  address: z.string().default("").describe("TCP address of /v1/metrics, <host>:<port>; off when empty."),
});

/** Schema of {@link MetricsServerConfig}. */
export const metricsServerConfig: ConfigSchema<MetricsServerConfig> = configSchema(metricsTable, () =>
  z.toJSONSchema(metricsTable, { io: "input" }),
);

/** `[plugins."io.containerd.metrics.v1.grpc-prometheus"]` */
export interface CallMetricsConfig {
  grpc_histogram: boolean;
}

const callMetricsTable = z.object({
  grpc_histogram: z.boolean().default(false).describe("Also measure how long calls take."),
});

/** Schema of {@link CallMetricsConfig}. */
export const callMetricsConfig: ConfigSchema<CallMetricsConfig> = configSchema(callMetricsTable, () =>
  z.toJSONSchema(callMetricsTable, { io: "input" }),
);
