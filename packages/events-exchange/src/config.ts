import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { parseGoDuration } from "@ctrd/core/durations";
import { isKind, messageOf } from "@ctrd/core/errors";
import { z } from "zod";

/** `[plugins."io.containerd.event.v1.exchange"]`; the age is a Go duration. */
export interface ExchangeConfig {
  history: boolean;
  history_max_bytes: number;
  history_max_age: string;
}

const age = z.string().superRefine((text, issues) => {
  try {
    if (parseGoDuration(text) <= 0) issues.addIssue({ code: "custom", message: "must be more than nothing" });
  } catch (error) {
    if (!isKind(error, "invalid-argument")) throw error;
    issues.addIssue({ code: "custom", message: messageOf(error) });
  }
});

const table = z.object({
  history: z.boolean().default(true).describe("Keep events on disk, for `ctrd events --since`."),
  history_max_bytes: z
    .int()
    .min(1 << 20)
    .default(64 << 20)
    .describe("Most bytes that kept events may take; the oldest go first, a sixteenth at a time."),
  history_max_age: age.default("168h").describe("How long events are kept."),
});

export const exchangeConfig: ConfigSchema<ExchangeConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
