import { isObject } from "./package-manifest.ts";
import type { PackageManifest } from "./package-manifest.ts";

/** Conditions that this process resolves `exports` with: those of Node for imports, and those it was started with. */
export function importConditions(
  execArgv: readonly string[] = process.execArgv,
  nodeOptions: string = process.env["NODE_OPTIONS"] ?? "",
): ReadonlySet<string> {
  const conditions = new Set(["node", "import", "module-sync", "default"]);
  const flags = [...nodeOptions.split(/\s+/), ...execArgv];
  for (const [index, flag] of flags.entries()) {
    const [name, value] = flag.split("=", 2);
    if (name !== "--conditions" && name !== "-C") continue;
    const condition = value ?? flags[index + 1];
    if (condition !== undefined) conditions.add(condition);
  }
  return conditions;
}

/**
 * The file that a package exports as `subpath` (`./plugin`), relative to the package. A package without `exports`
 * exports its files.
 *
 * @returns undefined when it does not export it
 */
export function exportedFile(
  manifest: PackageManifest,
  subpath: string,
  conditions: ReadonlySet<string>,
): string | undefined {
  const { exports } = manifest;
  if (exports === undefined) return subpath;
  const isMap = isObject(exports) && Object.keys(exports).some((key) => key.startsWith("."));
  if (!isMap) return subpath === "." ? targetOf(exports, conditions) : undefined;
  if (Object.hasOwn(exports, subpath)) return targetOf(exports[subpath], conditions);
  // Of several patterns, the one with the longest beginning wins.
  const patterns = Object.keys(exports).filter((key) => matchOf(key, subpath) !== undefined);
  const [pattern] = patterns.sort((a, b) => b.indexOf("*") - a.indexOf("*"));
  if (pattern === undefined) return undefined;
  return targetOf(exports[pattern], conditions)?.replaceAll("*", () => matchOf(pattern, subpath) ?? "");
}

function targetOf(target: unknown, conditions: ReadonlySet<string>): string | undefined {
  if (typeof target === "string") return target.startsWith("./") ? target : undefined;
  if (Array.isArray(target)) {
    return target.map((one) => targetOf(one, conditions)).find((found) => found !== undefined);
  }
  if (!isObject(target)) return undefined;
  for (const [condition, nested] of Object.entries(target)) {
    if (!conditions.has(condition)) continue;
    const found = targetOf(nested, conditions);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What the `*` of a pattern stands for in `subpath`. */
function matchOf(pattern: string, subpath: string): string | undefined {
  const [head = "", tail] = pattern.split("*", 2);
  if (tail === undefined || subpath.length < head.length + tail.length) return undefined;
  if (!subpath.startsWith(head) || !subpath.endsWith(tail)) return undefined;
  return subpath.slice(head.length, subpath.length - tail.length);
}
