/**
 * The names a plugin package needs, and what may not be one. Pure.
 */
import { builtinModules } from "node:module";
import type { Kind } from "./kinds.ts";

/** Names of one plugin. */
export interface PluginNames {
  /** npm name, with its scope if it has one. */
  readonly name: string;
  /** Plugin id: what `ctr --snapshotter` and configuration files call it. */
  readonly id: string;
}

const longestName = 214;
/** The length that containerd allows an identifier. */
const longestId = 76;
const reserved = new Set(["node_modules", "favicon.ico", ...builtinModules]);
/** Ids of the default set: a second plugin of the same type and id would stop the daemon. */
const taken: Readonly<Record<Kind, readonly string[]>> = {
  snapshotter: ["overlayfs", "native"],
  content: ["content"],
  differ: ["walking"],
  service: [
    ...["containers", "content", "diff", "events", "healthcheck", "images", "introspection", "leases", "namespaces"],
    ...["sandboxes", "sandbox-controllers", "snapshots", "streaming", "tasks", "transfer", "version", "cri"],
  ],
};

/**
 * The names of a plugin package.
 *
 * @param name npm name; the plugin's id is the part behind the scope
 * @throws Error that says what is wrong with the name
 */
export function pluginNames(name: string, kind: Kind): PluginNames {
  const problem = nameProblem(name);
  if (problem !== undefined) throw new Error(`"${name}" cannot be the name of an npm package: ${problem}`);
  const id = name.slice(name.indexOf("/") + 1);
  if (id.length > longestId || !/^[a-z0-9]+(?:[._-][a-z0-9]+)*$/.test(id)) {
    throw new Error(
      `"${id}" cannot be the id of a plugin: letters and digits, with single ".", "_" or "-" between them, at most ${longestId}`,
    );
  }
  if (taken[kind].includes(id)) {
    throw new Error(`"${id}" is the id of a ${kind} in ctrd's default set: choose another name`);
  }
  return { name, id };
}

function nameProblem(name: string): string | undefined {
  if (name === "") return "it is empty";
  if (name.length > longestName) return `it has more than ${longestName} characters`;
  if (name !== name.toLowerCase()) return "it has capital letters";
  const match = /^(?:@([^/]+)\/)?([^/]+)$/.exec(name);
  const [scope, base = ""] = [match?.[1], match?.[2]];
  if (match === null) return 'it must be "name" or "@scope/name"';
  if (reserved.has(name)) return "Node.js or npm uses that name";
  const isGood = (part: string): boolean => /^[a-z0-9][a-z0-9._~-]*$/.test(part);
  if (!isGood(base) || (scope !== undefined && !isGood(scope))) {
    return 'only a-z, 0-9, ".", "_", "~" and "-", beginning with a letter or digit';
  }
  return undefined;
}
