import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { parseGoDuration } from "@ctrd/core/durations";
import { isKind, messageOf } from "@ctrd/core/errors";
import { z } from "zod";

/** `[plugins."io.containerd.image-verifier.v1.bindir"]` */
export interface BinDirConfig {
  bin_dir: string;
  max_verifiers: number;
  per_verifier_timeout: string;
}

const duration = z.string().superRefine((text, issues) => {
  try {
    if (parseGoDuration(text) <= 0) issues.addIssue({ code: "custom", message: "must be more than 0" });
  } catch (error) {
    if (!isKind(error, "invalid-argument")) throw error;
    issues.addIssue({ code: "custom", message: messageOf(error) });
  }
});

const table = z.object({
  bin_dir: z
    .string()
    .min(1)
    .default("/opt/containerd/image-verifier/bin")
    .describe("Directory of the programs; when it is missing or empty, every image is accepted."),
  max_verifiers: z.int().min(-1).default(10).describe("Most programs that are asked, in order of name; -1: all."),
  per_verifier_timeout: duration.default("10s").describe("How long each may take, as a Go duration."),
});

/** Schema of {@link BinDirConfig}. */
export const binDirConfig: ConfigSchema<BinDirConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
