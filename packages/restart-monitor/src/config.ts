import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { parseGoDuration } from "@ctrd/core/durations";
import { isKind, messageOf } from "@ctrd/core/errors";
import { z } from "zod";

/** `[plugins."io.containerd.monitor.container.v1.restart"]`; the interval is a Go duration. */
export interface RestartConfig {
  interval: string;
}

const table = z.object({
  interval: z
    .string()
    .superRefine((text, issues) => {
      try {
        if (parseGoDuration(text) < 0) issues.addIssue({ code: "custom", message: "must not be negative" });
      } catch (error) {
        if (!isKind(error, "invalid-argument")) throw error;
        issues.addIssue({ code: "custom", message: messageOf(error) });
      }
    })
    .default("10s")
    .describe("How often all containers with restart labels are looked at; 0s: every 10s."),
});

/** Schema of {@link RestartConfig}. */
export const restartConfig: ConfigSchema<RestartConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
