import { configSchema } from "@ctrd/core/config";
import type { ConfigSchema } from "@ctrd/core/config";
import { z } from "zod";

/** `[plugins."io.containerd.snapshotter.v1.overlayfs"]` */
export interface OverlayConfig {
  root_path: string;
  upperdir_label: boolean;
  sync_remove: boolean;
  sync_commit: boolean;
  slow_chown: boolean;
  mount_options: string[];
}

const table = z.object({
  root_path: z.string().default("").describe("Directory of the snapshots; empty: the plugin's own root."),
  upperdir_label: z
    .boolean()
    .default(false)
    .describe("Show each snapshot's upper directory as the label containerd.io/snapshot/overlay.upperdir."),
  sync_remove: z
    .boolean()
    .default(false)
    .describe("Delete a snapshot's directory before Remove returns, instead of at the next garbage collection."),
  sync_commit: z
    .boolean()
    .default(false)
    .describe("Write the file system to its disk before Commit returns: layers outlive a loss of power, pulls wait."),
  slow_chown: z
    .boolean()
    .default(false)
    .describe("Let clients change the owner of every file of a user-namespaced container where mounts cannot map ids."),
  mount_options: z.array(z.string()).default([]).describe("Further options of overlay mounts (not of bind mounts)."),
});

/** Schema of {@link OverlayConfig}. */
export const overlayConfig: ConfigSchema<OverlayConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
