/**
 * Environment variables as `NAME=value` lists.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { invalidArgument, messageOf } from "@ctrd/core/errors";
import type { SpecOption } from "./context.ts";
import { processOf } from "./context.ts";

/** `base` with `changes`: `NAME=value` sets, a bare `NAME` removes. A variable keeps its place. */
export function mergeEnvironment(base: readonly string[], changes: readonly string[]): string[] {
  const merged: (string | undefined)[] = [...base];
  const places = new Map(base.map((entry, index) => [nameOf(entry), index]));
  for (const change of changes) {
    const name = nameOf(change);
    const place = places.get(name);
    if (!change.includes("=")) {
      if (place !== undefined) merged[place] = undefined;
    } else if (place === undefined) {
      places.set(name, merged.push(change) - 1);
    } else {
      merged[place] = change;
    }
  }
  return merged.filter((entry) => entry !== undefined);
}

/** Sets (`NAME=value`) and removes (`NAME`) environment variables. */
export function withEnv(...changes: readonly string[]): SpecOption {
  for (const change of changes) checkEntry(change);
  return (_context, spec) => {
    const { env = [] } = processOf(spec);
    processOf(spec).env = mergeEnvironment(env, changes);
  };
}

/** Sets environment variables from a file with one `NAME=value` per line. Empty lines and `#` lines are passed over. */
export function withEnvFile(path: string): SpecOption {
  return async (context, spec) => {
    let text: string;
    try {
      text = await readFile(path, { encoding: "utf8", signal: context.signal });
    } catch (cause) {
      context.signal.throwIfAborted();
      throw invalidArgument(`environment file "${path}" cannot be read: ${messageOf(cause)}`, { cause });
    }
    const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "" && !line.startsWith("#"));
    await withEnv(...lines)(context, spec);
  };
}

function nameOf(entry: string): string {
  const end = entry.indexOf("=");
  return end === -1 ? entry : entry.slice(0, end);
}

function checkEntry(entry: string): void {
  if (nameOf(entry) === "" || entry.includes("\0")) {
    throw invalidArgument(`environment entry ${JSON.stringify(entry)} is malformed (NAME=value, or NAME to remove it)`);
  }
}
