/** The table of the service itself: `[plugins."io.containerd.grpc.v1.cri"]`. */
import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { z } from "zod";
import { duration } from "./fields.ts";

/** `[plugins."io.containerd.grpc.v1.cri"]` */
export interface StreamingConfig {
  disable_tcp_service: boolean;
  stream_server_address: string;
  stream_server_port: string;
  stream_idle_timeout: string;
  enable_tls_streaming: boolean;
  x509_key_pair_streaming: { tls_cert_file: string; tls_key_file: string };
}

const table = z.object({
  disable_tcp_service: z.boolean().default(true).describe("Do not serve CRI over TCP."),
  stream_server_address: z.string().default("127.0.0.1").describe("Where exec, attach and port-forward are served."),
  stream_server_port: z.string().default("0").describe("Port; 0: any."),
  stream_idle_timeout: duration.default("4h0m0s").describe("Streams that are idle for this long are closed."),
  enable_tls_streaming: z.boolean().default(false).describe("Serve streams over TLS."),
  x509_key_pair_streaming: z
    .object({
      tls_cert_file: z.string().default("").describe("Certificate; one is made when it is empty."),
      tls_key_file: z.string().default("").describe("Its key."),
    })
    .prefault({})
    .describe("Certificate and key for streams."),
});

export const streamingConfig: ConfigSchema<StreamingConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
