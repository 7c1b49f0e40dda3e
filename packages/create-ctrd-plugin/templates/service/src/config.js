import { configSchema } from "@ctrd/core/config";
import { z } from "zod";

/**
 * `[plugins."io.containerd.grpc.v1.__id__"]` of the daemon's configuration. Every key has a default and a
 * description: `ctrd config default` prints both, and the daemon reports unknown and mistyped keys by itself.
 *
 * @typedef {object} Config
 * @property {string[]} image_filters
 */

const table = z.object({
  image_filters: z.array(z.string()).default([]).describe("containerd filters of the images that are counted."),
});

/** @type {import("@ctrd/core/config").ConfigSchema<Config>} */
export const config = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
