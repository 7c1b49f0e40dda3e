/**
 * Options that many methods share.
 *
 * @module
 */
import type { Operation } from "@ctrd/core/operations";
import type { Labels, Platform } from "@ctrd/core/records";
import type { Span } from "@ctrd/core/tracing";
import type { PlatformMatcher } from "@ctrd/images";
import { matchPlatform, parsePlatformText } from "@ctrd/images";

/** A call that can be given up. */
export interface Abortable {
  /** Ends the call with `canceled`, or `deadline-exceeded` for a timeout. */
  readonly signal?: AbortSignal;
  /** What the call is a part of, when it is traced. */
  readonly span?: Span | undefined;
  /** What the call is a part of, for a client in the daemon. */
  readonly operation?: Operation | undefined;
}

/** Labels, as a map or as an object. */
export type LabelValues = ReadonlyMap<string, string> | Readonly<Record<string, string>>;

/** Labels as the stores have them. */
export function labelsOf(values: LabelValues | undefined): Labels {
  if (values === undefined) return new Map();
  return new Map(values instanceof Map ? values : Object.entries(values as Record<string, string>));
}

/** A platform as text (`linux/arm64`), as a record, or as a matcher of several. */
export type PlatformChoice = string | Platform | PlatformMatcher;

/** The matcher of a choice; of this machine's platform when there is none. */
export function platformMatcher(choice: PlatformChoice | undefined, local: Platform): PlatformMatcher {
  if (choice === undefined) return matchPlatform(local);
  if (typeof choice === "string") return matchPlatform(parsePlatformText(choice, local));
  return "matches" in choice ? choice : matchPlatform(choice);
}
