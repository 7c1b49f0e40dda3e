import { configSchema } from "@ctrd/core/config";
import type { ConfigSchema } from "@ctrd/core/config";
import { z } from "zod";

/** `[plugins."io.containerd.snapshotter.v1.native"]` */
export interface NativeConfig {
  root_path: string;
}

const table = z.object({
  root_path: z.string().default("").describe("Directory of the snapshots; empty: the plugin's own root."),
});

/** Schema of {@link NativeConfig}. */
export const nativeConfig: ConfigSchema<NativeConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
