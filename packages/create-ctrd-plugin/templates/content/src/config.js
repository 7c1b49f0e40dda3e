import { configSchema } from "@ctrd/core/config";
import { z } from "zod";

/**
 * `[plugins."io.containerd.content.v1.__id__"]` of the daemon's configuration. Every key has a default and a
 * description: `ctrd config default` prints both, and the daemon reports unknown and mistyped keys by itself.
 *
 * @typedef {object} Config
 * @property {string} root_path
 */

const table = z.object({
  root_path: z.string().default("").describe("Directory of the blobs; empty: the plugin's own root."),
});

/** @type {import("@ctrd/core/config").ConfigSchema<Config>} */
export const config = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
