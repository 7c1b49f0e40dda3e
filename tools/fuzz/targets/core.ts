/**
 * Texts: filters, references, digests, platforms, durations.
 *
 * @module
 */
import { isDigest, parseDigest } from "@ctrd/core/digests";
import { formatGoDuration, parseGoDuration } from "@ctrd/core/durations";
import { compileFilters } from "@ctrd/core/filters";
import { completeReference, formatReference, parseReference, shortReference } from "@ctrd/core/references";
import { formatPlatform, matchPlatform, parsePlatformText } from "@ctrd/images";
import { isDeepStrictEqual } from "node:util";
import { mutateBytes } from "../mutate.ts";
import type { Target } from "../target.ts";
import { ensure, parsed, pure } from "../target.ts";

const local = { os: "linux", architecture: "amd64", variant: "", osVersion: "" };

/** Inputs are short, as those of clients: a long one is tried now and then. */
function text(input: Buffer): string {
  return input.toString();
}

export const coreTargets: readonly Target[] = [
  pure("filters", mutateBytes, (input) => {
    const matches = compileFilters([text(input)]);
    for (const value of ["", "web", "a".repeat(2_000), "é\n\ud800"]) {
      const answer = matches((path) => ({ value, present: path.length % 2 === 1 }));
      ensure(typeof answer === "boolean", () => `a filter answers ${String(answer)}`);
    }
  }),
  pure("references", mutateBytes, (input) => {
    const full = parsed(() => parseReference(text(input)));
    if (full !== undefined) {
      const again = parseReference(formatReference(full));
      ensure(isDeepStrictEqual(full, again), () => `parse, print, parse gives ${JSON.stringify([full, again])}`);
    }
    const completed = completeReference(text(input));
    ensure(completeReference(completed) === completed, () => `"${completed}" is not complete`);
    const short = shortReference(completed);
    ensure(completeReference(short) === completed, () => `"${short}" is not short for "${completed}"`);
  }),
  pure("digests", mutateBytes, (input) => {
    const digest = parsed(() => parseDigest(text(input)));
    ensure(isDigest(text(input)) === (digest !== undefined), () => "isDigest and parseDigest differ");
    if (digest !== undefined) ensure(`${digest.algorithm}:${digest.hex}` === text(input), () => "printed otherwise");
  }),
  pure("platforms", mutateBytes, (input) => {
    const platform = parsePlatformText(text(input), local);
    const again = parsePlatformText(formatPlatform(platform), local);
    ensure(isDeepStrictEqual(again, platform), () => `printed as ${formatPlatform(platform)}`);
    ensure(matchPlatform(platform).matches(platform), () => "does not match itself");
  }),
  pure("durations", mutateBytes, (input) => {
    const millis = parseGoDuration(text(input));
    const printed = formatGoDuration(millis);
    const again = parseGoDuration(printed);
    ensure(Math.abs(again - millis) <= Math.abs(millis) * 1e-12 + 1e-6, () => `${millis} is printed as ${printed}`);
    ensure(formatGoDuration(again) === printed, () => `${printed} is printed as ${formatGoDuration(again)}`);
  }),
];
