import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { parseGoDuration } from "@ctrd/core/durations";
import { isKind, messageOf } from "@ctrd/core/errors";
import { z } from "zod";

/** `[plugins."io.containerd.nri.v1.nri"]` */
export interface NriConfig {
  disable: boolean;
  socket_path: string;
  plugin_path: string;
  plugin_config_path: string;
  plugin_registration_timeout: string;
  plugin_request_timeout: string;
  disable_connections: boolean;
  default_validator: Record<string, unknown>;
}

const duration = z.string().superRefine((text, issues) => {
  try {
    if (parseGoDuration(text) <= 0) issues.addIssue({ code: "custom", message: "must be more than 0" });
  } catch (error) {
    if (!isKind(error, "invalid-argument")) throw error;
    issues.addIssue({ code: "custom", message: messageOf(error) });
  }
});

const table = z.object({
  disable: z.boolean().default(false).describe("No plugins at all."),
  socket_path: z.string().min(1).default("/var/run/nri/nri.sock").describe("Socket that plugins connect to."),
  plugin_path: z.string().default("/opt/nri/plugins").describe("Directory of plugins that the daemon starts: NN-name."),
  plugin_config_path: z.string().default("/etc/nri/conf.d").describe("Directory of NN-name.conf and name.conf."),
  plugin_registration_timeout: duration.default("5s").describe("How long a plugin may take to say who it is."),
  plugin_request_timeout: duration.default("2s").describe("How long it may take to answer, else it is disconnected."),
  default_validator: z.record(z.string(), z.unknown()).default({}).describe("containerd's own validator: not built."),
  disable_connections: z.boolean().default(false).describe("Only plugins that the daemon starts."),
});

/** Schema of {@link NriConfig}. */
export const nriConfig: ConfigSchema<NriConfig> = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
