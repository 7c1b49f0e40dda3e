import { configSchema } from "@ctrd/core/config";
import { z } from "zod";

/**
 * `[plugins."io.containerd.snapshotter.v1.aufs"]` of the daemon's configuration.
 *
 * @typedef {object} AufsConfig
 * @property {string} root_path
 * @property {string[]} mount_options
 */

const table = z.object({
  root_path: z.string().default("").describe("Directory of the snapshots; empty: the plugin's own root."),
  mount_options: z
    .array(z.string())
    .default(["dirperm1"])
    .describe("Options of every aufs mount. dirperm1: a directory has the permissions of its uppermost branch only."),
});

/** @type {import("@ctrd/core/config").ConfigSchema<AufsConfig>} */
export const aufsConfig = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
