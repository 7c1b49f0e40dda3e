/** Kinds of fields that the tables share. */
import { parseGoDuration } from "@ctrd/core/durations";
import { isKind, messageOf } from "@ctrd/core/errors";
import { z } from "zod";

/** A Go duration that is not negative; empty stands for the built-in value. */
export const duration: z.ZodString = z.string().superRefine((text, issues) => {
  if (text === "") return;
  try {
    if (parseGoDuration(text) < 0) issues.addIssue({ code: "custom", message: "must not be negative" });
  } catch (error) {
    if (!isKind(error, "invalid-argument")) throw error;
    issues.addIssue({ code: "custom", message: messageOf(error) });
  }
});

/** Milliseconds of a duration field; `fallback` when it is empty. */
export function millisOf(text: string, fallback: number): number {
  return text === "" ? fallback : parseGoDuration(text);
}
