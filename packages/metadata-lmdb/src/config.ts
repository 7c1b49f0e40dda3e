import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { z } from "zod";

/** `[plugins."io.containerd.metadata.v1.bolt"]` */
export interface MetadataConfig {
  content_sharing_policy: "shared" | "isolated";
  no_sync: boolean;
}

const table = z.object({
  content_sharing_policy: z
    .enum(["shared", "isolated"])
    .default("shared")
    .describe("Whether a namespace may use a blob that another one has uploaded, without uploading it itself."),
  no_sync: z
    .boolean()
    .default(false)
    .describe("Do not wait for the disk after a write. Unsafe: a crash of the machine may lose the database."),
});

export const metadataConfig: ConfigSchema<MetadataConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
