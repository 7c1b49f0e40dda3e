import { isAbsolute, normalize } from "node:path";
import { parseGoDuration } from "@ctrd/core/durations";
import { invalidArgument, messageOf } from "@ctrd/core/errors";
import type { AnyRegistration, LoadedPlugin } from "@ctrd/core/plugin";
import { pluginUri } from "@ctrd/core/plugin";
import { isContainerdKey } from "./containerd-keys.ts";
import { checkTable, nearestPlugin, unknownKey } from "./check.ts";
import type { DaemonTable } from "./daemon-table.ts";
import { daemonTable, defaultTimeouts } from "./daemon-table.ts";
import type { ConfigDocument, ConfigProblem } from "./document.ts";
import { formatProblem } from "./document.ts";
import type { LoadedDocuments } from "./load.ts";
import type { Table } from "./key-path.ts";
import { isTable } from "./key-path.ts";
import { mergeTables } from "./merge.ts";

/** Settings of the command line; they win over the files. */
export interface ConfigOverrides {
  readonly root?: string;
  readonly state?: string;
  readonly address?: string;
  readonly logLevel?: string;
}

/** A checked configuration. */
export interface DaemonConfig {
  readonly table: DaemonTable;
  /** Names of the documents it came from. */
  readonly files: readonly string[];
  /** What was ignored, one sentence each. */
  readonly warnings: readonly string[];
  /** Path of the gRPC socket. */
  readonly address: string;
  /** Path of the ttrpc socket. */
  readonly ttrpcAddress: string;
  /** `[timeouts]` in milliseconds. */
  readonly timeouts: ReadonlyMap<string, number>;
}

export const grpcServerUri = "io.containerd.server.v1.grpc";
export const ttrpcServerUri = "io.containerd.server.v1.ttrpc";

/**
 * Checks documents against the daemon's and the plugins' schemas, merges them and fills in defaults.
 *
 * Tables of plugins that the daemon does not have are warnings.
 *
 * @throws ContainerdError `invalid-argument`: file, line, column, key and the nearest known key of the first mistake,
 * and how many more there are
 */
export async function resolveConfig(
  loaded: LoadedDocuments,
  plugins: readonly LoadedPlugin[],
  overrides: ConfigOverrides = {},
): Promise<DaemonConfig> {
  const registrations = new Map(plugins.map(({ registration }) => [pluginUri(registration), registration]));
  const problems: ConfigProblem[] = [];
  const warnings = [...loaded.warnings];
  for (const document of loaded.documents) {
    problems.push(...(await checkTopLevel(document)));
    problems.push(...(await checkPlugins(document, registrations, warnings)));
    problems.push(...checkPluginLists(document, registrations, warnings));
  }
  await throwProblems(problems);
  const merged = mergeTables([...loaded.documents.map((document) => document.table), overridesTable(overrides)]);
  merged["timeouts"] = { ...defaultTimeouts, ...(isTable(merged["timeouts"]) ? merged["timeouts"] : {}) };
  const result = await daemonTable.standard["~standard"].validate(merged);
  if (result.issues !== undefined) {
    throw invalidArgument(`configuration: ${result.issues.map((issue) => issue.message).join("; ")}`);
  }
  warnings.push(...unsupported(result.value));
  return finish(result.value, loaded, warnings);
}

function finish(table: DaemonTable, loaded: LoadedDocuments, warnings: readonly string[]): DaemonConfig {
  for (const key of ["root", "state"] as const) {
    if (!isAbsolute(table[key]))
      throw invalidArgument(`configuration: ${key} "${table[key]}" must be an absolute path`);
    table[key] = normalize(table[key]).replace(/(.)\/$/, "$1");
  }
  if (table.root === table.state) {
    throw invalidArgument(`configuration: root and state must be different directories, both are ${table.root}`);
  }
  const grpc = (table.plugins[grpcServerUri] ??= {});
  const ttrpc = (table.plugins[ttrpcServerUri] ??= {});
  const address = String(grpc["address"] || `${table.state}/ctrd.sock`);
  const ttrpcAddress = String(ttrpc["address"] || `${address}.ttrpc`);
  // The ttrpc socket follows the gRPC one, owner included, unless it is configured itself.
  if (!ttrpc["address"]) table.plugins[ttrpcServerUri] = { ...ownerOf(grpc), ...ttrpc };
  Object.assign(table.plugins[grpcServerUri], { address });
  Object.assign(table.plugins[ttrpcServerUri] ?? {}, { address: ttrpcAddress });
  const timeouts = new Map(Object.entries(table.timeouts).map(([name, text]) => [name, parseGoDuration(text)]));
  const files = loaded.documents.map((document) => document.name);
  return { table, files, warnings, address, ttrpcAddress, timeouts };
}

function ownerOf(listener: Table): Table {
  return Object.fromEntries(Object.entries(listener).filter(([key]) => key === "uid" || key === "gid"));
}

async function checkTopLevel(document: ConfigDocument): Promise<ConfigProblem[]> {
  const findings = [...(await checkTable(daemonTable, document.table))];
  const timeouts = document.table["timeouts"];
  for (const [name, text] of Object.entries(isTable(timeouts) ? timeouts : {})) {
    if (typeof text !== "string") continue;
    try {
      parseGoDuration(text);
    } catch (error) {
      findings.push({ path: ["timeouts", name], message: messageOf(error) });
    }
  }
  return findings.map((finding) => ({ document, ...finding }));
}

async function checkPlugins(
  document: ConfigDocument,
  registrations: ReadonlyMap<string, AnyRegistration>,
  warnings: string[],
): Promise<ConfigProblem[]> {
  const problems: ConfigProblem[] = [];
  const tables = document.table["plugins"];
  for (const [uri, table] of Object.entries(isTable(tables) ? tables : {})) {
    const registration = registrations.get(uri);
    if (!isTable(table)) continue;
    if (registration === undefined) {
      const suggestion = nearestPlugin(uri, registrations.keys());
      const hint = suggestion === undefined ? "" : `; did you mean "${suggestion}"?`;
      warnings.push(`${document.name}: plugin "${uri}" is not part of this daemon, its table is ignored${hint}`);
      continue;
    }
    const findings =
      registration.config === undefined
        ? Object.keys(table).map((key) => ({ path: [key], message: unknownKey(key, []) }))
        : await checkTable(registration.config, table);
    for (const { path, message } of findings) {
      const [key] = path;
      if (path.length === 1 && message.startsWith("unknown key") && isContainerdKey(uri, String(key))) {
        warnings.push(`${document.name}: plugins."${uri}".${String(key)} has no effect in this daemon`);
      } else {
        problems.push({ document, path: ["plugins", uri, ...path], message });
      }
    }
  }
  return problems;
}

function checkPluginLists(
  document: ConfigDocument,
  registrations: ReadonlyMap<string, AnyRegistration>,
  warnings: string[],
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const key of ["disabled_plugins", "required_plugins"]) {
    const list = document.table[key];
    for (const [index, uri] of (Array.isArray(list) ? list : []).entries()) {
      if (typeof uri !== "string" || registrations.has(uri)) continue;
      const suggestion = nearestPlugin(uri, registrations.keys());
      const hint = suggestion === undefined ? "" : `, did you mean "${suggestion}"?`;
      if (!uri.includes(".")) {
        problems.push({ document, path: [key, index], message: `"${uri}" is not a <type>.<id> of a plugin${hint}` });
      } else if (key === "required_plugins") {
        const message = `required plugin "${uri}" is not part of this daemon${hint || ", add its package"}`;
        problems.push({ document, path: [key, index], message });
      } else {
        warnings.push(`${document.name}: disabled plugin "${uri}" is not part of this daemon${hint}`);
      }
    }
  }
  return problems;
}

async function throwProblems(problems: readonly ConfigProblem[]): Promise<void> {
  const [first] = problems;
  if (first === undefined) return;
  const more = problems.length === 1 ? "" : ` (and ${problems.length - 1} more)`;
  throw invalidArgument(`${await formatProblem(first)}${more}`);
}

function overridesTable(overrides: ConfigOverrides): Table {
  const table: Table = {};
  if (overrides.root !== undefined) table["root"] = overrides.root;
  if (overrides.state !== undefined) table["state"] = overrides.state;
  if (overrides.logLevel !== undefined) table["debug"] = { level: overrides.logLevel };
  if (overrides.address !== undefined) table["plugins"] = { [grpcServerUri]: { address: overrides.address } };
  return table;
}

/** Settings that are understood but that this daemon cannot follow. */
function unsupported(table: DaemonTable): string[] {
  const warnings: string[] = [];
  if (table.cgroup.path !== "") warnings.push("cgroup.path is ignored: let the service manager place the daemon");
  for (const id of Object.keys(table.stream_processors)) {
    warnings.push(`stream_processors."${id}" is ignored: not supported yet`);
  }
  return warnings;
}
