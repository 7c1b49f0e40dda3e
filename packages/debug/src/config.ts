import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { z } from "zod";

/** `[plugins."io.containerd.server.v1.debug"]` */
export interface DebugConfig {
  address: string;
  uid: number;
  gid: number;
}

const id = (own: number | undefined) =>
  z
    .int()
    .min(0)
    .default(own ?? 0);

const table = z.object({
  address: z.string().default("").describe("Path of the debug socket; <state>/debug.sock when empty."),
  uid: id(process.geteuid?.()).describe("Owner of the socket; the daemon's effective user by default."),
  gid: id(process.getegid?.()).describe("Group of the socket, which has no access; the daemon's by default."),
});

/** Schema of {@link DebugConfig}. */
export const debugConfig: ConfigSchema<DebugConfig> = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
