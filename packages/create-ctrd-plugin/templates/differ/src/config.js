import { configSchema } from "@ctrd/core/config";
import { z } from "zod";

/**
 * `[plugins."io.containerd.differ.v1.__id__"]` of the daemon's configuration. Every key has a default and a
 * description: `ctrd config default` prints both, and the daemon reports unknown and mistyped keys by itself.
 *
 * @typedef {object} Config
 * @property {number} max_layer_size
 */

const table = z.object({
  max_layer_size: z.int().min(0).default(0).describe("Most bytes of an unpacked layer; 0: no limit."),
});

/** @type {import("@ctrd/core/config").ConfigSchema<Config>} */
export const config = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
