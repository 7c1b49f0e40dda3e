import { configSchema } from "@ctrd/core/config";
import type { ConfigSchema } from "@ctrd/core/config";
import { z } from "zod";

/** `[plugins."io.containerd.differ.v1.walking"]` */
export interface WalkingConfig {
  workers: number;
  max_layer_size: number;
  max_layer_ratio: number;
}

const table = z.object({
  workers: z
    .int()
    .min(0)
    .default(0)
    .describe("Most layers that are unpacked or made at once, each in a thread of its own; 0: one for each core."),
  max_layer_size: z.int().min(0).default(0).describe("Most bytes of a layer uncompressed; 0: no limit."),
  max_layer_ratio: z
    .int()
    .min(0)
    .default(0)
    .describe("Most bytes that one byte of a compressed layer may become, for layers over 64 MiB; 0: no limit."),
});

/** Schema of {@link WalkingConfig}. */
export const walkingConfig: ConfigSchema<WalkingConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
