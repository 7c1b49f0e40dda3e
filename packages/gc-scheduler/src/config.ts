import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { parseGoDuration } from "@ctrd/core/durations";
import { isKind, messageOf } from "@ctrd/core/errors";
import { z } from "zod";

/** `[plugins."io.containerd.gc.v1.scheduler"]`; delays are Go durations. */
export interface GcConfig {
  pause_threshold: number;
  deletion_threshold: number;
  mutation_threshold: number;
  schedule_delay: string;
  startup_delay: string;
}

const duration = z.string().superRefine((text, issues) => {
  try {
    if (parseGoDuration(text) < 0) issues.addIssue({ code: "custom", message: "must not be negative" });
  } catch (error) {
    if (!isKind(error, "invalid-argument")) throw error;
    issues.addIssue({ code: "custom", message: messageOf(error) });
  }
});

const table = z.object({
  pause_threshold: z
    .number()
    .min(0)
    .default(0.02)
    .describe("Largest share of time that collections may pause writes; values over 0.5 count as 0.5."),
  deletion_threshold: z
    .int()
    .min(0)
    .default(0)
    .describe("Collect at once after this many deletions. 0: at the next scheduled point."),
  mutation_threshold: z
    .int()
    .min(0)
    .default(100)
    .describe("Collect at the next scheduled point after this many database writes. 0: never for writes alone."),
  schedule_delay: duration.default("0s").describe("Wait this long after a collection was asked for."),
  startup_delay: duration.default("100ms").describe("Wait this long before the first collection."),
});

export const gcConfig: ConfigSchema<GcConfig> = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
