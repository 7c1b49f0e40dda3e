/**
 * Platforms: their text, their normal form, and which of an index's manifests runs on one.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import type { Platform } from "@ctrd/core/records";

/** Says which platforms will do, and which is better. */
export interface PlatformMatcher {
  matches(platform: Platform): boolean;
  /** Negative when `a` is better than `b`. */
  compare(a: Platform, b: Platform): number;
}

const architectures: Readonly<Record<string, readonly [architecture: string, variant: string]>> = {
  i386: ["386", ""],
  x86_64: ["amd64", ""],
  "x86-64": ["amd64", ""],
  aarch64: ["arm64", ""],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};
const operatingSystems: Readonly<Record<string, string>> = { macos: "darwin" };
const variants: Readonly<Record<string, string>> = { "5": "v5", "6": "v6", "7": "v7", "8": "v8" };

/** The form in which platforms are compared: Go's names, and no variant where it is the usual one. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const given = platform.architecture.toLowerCase();
  const [architecture, implied] = own(architectures, given) ?? [given, ""];
  const named = platform.variant.toLowerCase() || implied;
  return {
    os: own(operatingSystems, os) ?? os,
    architecture,
    variant: usualVariant(architecture, named),
    osVersion: platform.osVersion,
  };
}

function usualVariant(architecture: string, named: string): string {
  if (architecture === "arm64") return named === "8" || named === "v8" ? "" : named;
  if (architecture === "amd64") return named === "v1" ? "" : named;
  if (architecture === "arm") return named === "" ? "v7" : (own(variants, named) ?? named);
  return named;
}

function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/**
 * Reads `os/architecture[/variant]`, or a part of it that the rest follows from.
 *
 * @param local what is taken for parts that are not given
 * @throws ContainerdError `invalid-argument`
 */
export function parsePlatformText(text: string, local: Platform): Platform {
  const parts = text.split("/");
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) {
    throw invalidArgument(`platform "${text}" must be <os>/<architecture>[/<variant>], for example linux/arm64/v8`);
  }
  const [first = "", second, variant = ""] = parts;
  if (second === undefined) {
    const isSystem = ["linux", "windows", "darwin", "macos", "freebsd"].includes(first.toLowerCase());
    return normalizePlatform(isSystem ? { ...local, os: first } : { ...local, architecture: first, variant: "" });
  }
  return normalizePlatform({ os: first, architecture: second, variant, osVersion: "" });
}

/** `os/architecture[/variant]`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part !== "").join("/");
}

/** What runs on a platform: itself first, then what its processors also run. */
function runnable(platform: Platform): Platform[] {
  const normal = normalizePlatform(platform);
  const like = (architecture: string, variant: string): Platform => ({ ...normal, architecture, variant });
  const down = (architecture: string, from: number, to: number): Platform[] =>
    Array.from({ length: Math.max(0, from - to + 1) }, (_, i) => like(architecture, `v${from - i}`));
  const level = Number(/^v(\d)/.exec(normal.variant)?.[1] ?? 0);
  switch (normal.architecture) {
    case "amd64":
      return [normal, ...down("amd64", level - 1, 2), ...(level > 1 ? [like("amd64", "")] : []), like("386", "")];
    case "arm":
      return [normal, ...down("arm", level - 1, 5)];
    case "arm64":
      return [normal, ...(normal.variant === "" ? [] : [like("arm64", "")]), ...down("arm", 8, 5)];
    default:
      return [normal];
  }
}

/** Matches what runs on `platform`, the platform's own first. */
export function matchPlatform(platform: Platform): PlatformMatcher {
  const order = runnable(platform);
  const rank = (candidate: Platform): number => {
    const normal = normalizePlatform(candidate);
    const found = order.findIndex(
      ({ os, architecture, variant }) =>
        os === normal.os && architecture === normal.architecture && variant === normal.variant,
    );
    return found < 0 ? order.length : found;
  };
  return {
    matches: (candidate) => rank(candidate) < order.length,
    compare: (a, b) => rank(a) - rank(b),
  };
}

/** Matches any of several platforms; earlier ones are better. */
export function matchPlatforms(platforms: readonly Platform[]): PlatformMatcher {
  const matchers = platforms.map(matchPlatform);
  const rank = (candidate: Platform): number => {
    const found = matchers.findIndex((matcher) => matcher.matches(candidate));
    return found < 0 ? matchers.length : found;
  };
  return {
    matches: (candidate) => rank(candidate) < matchers.length,
    compare: (a, b) => rank(a) - rank(b) || (matchers[rank(a)]?.compare(a, b) ?? 0),
  };
}

/** Matches everything. */
export const anyPlatform: PlatformMatcher = { matches: () => true, compare: () => 0 };
