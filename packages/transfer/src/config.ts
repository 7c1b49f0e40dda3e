import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { z } from "zod";

/** `[plugins."io.containerd.transfer.v1.local"]` */
export interface TransferConfig {
  max_concurrent_downloads: number;
  max_concurrent_uploaded_layers: number;
  config_path: string;
  default_snapshotter: string;
}

const table = z.object({
  max_concurrent_downloads: z.int().min(0).default(3).describe("Contents fetched at a time; 0: no limit."),
  max_concurrent_uploaded_layers: z.int().min(0).default(3).describe("Contents pushed at a time; 0: no limit."),
  config_path: z
    .string()
    .default("")
    .describe("Directories of hosts.toml files, separated by colons, for clients that name none."),
  default_snapshotter: z.string().min(1).default("overlayfs").describe("For clients that name none."),
});

export const transferConfig: ConfigSchema<TransferConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
