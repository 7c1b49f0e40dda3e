import { isAbsolute, normalize } from "node:path";
import { parseGoDuration } from "@ctrd/core/durations";
import { invalidArgument } from "@ctrd/core/errors";
import type { LoadedPlugin } from "@ctrd/core/plugin";
import type { DaemonTable } from "./daemon-table.ts";
import { daemonTable, defaultTimeouts } from "./daemon-table.ts";
import type { ConfigDocument, ConfigProblem } from "./document.ts";
import { formatProblem } from "./document.ts";
import type { LoadedDocuments } from "./load.ts";
import type { Table } from "./key-path.ts";
import { isTable } from "./key-path.ts";
import { mergeTables } from "./merge.ts";
import { findProblems } from "./problems.ts";

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
  /** The documents, earliest first, and what the command line said. */
  readonly documents: readonly ConfigDocument[];
  readonly overrides: ConfigOverrides;
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
  const { problems, warnings } = await findProblems(loaded, plugins);
  await throwProblems(problems);
  const merged = mergeTables([...loaded.documents.map((document) => document.table), overridesTable(overrides)]);
  merged["timeouts"] = { ...defaultTimeouts, ...(isTable(merged["timeouts"]) ? merged["timeouts"] : {}) };
  const result = await daemonTable.standard["~standard"].validate(merged);
  if (result.issues !== undefined) {
    throw invalidArgument(`configuration: ${result.issues.map((issue) => issue.message).join("; ")}`);
  }
  return finish(result.value, loaded, [...loaded.warnings, ...warnings], overrides);
}

function finish(
  table: DaemonTable,
  loaded: LoadedDocuments,
  warnings: readonly string[],
  overrides: ConfigOverrides,
): DaemonConfig {
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
  return { table, files, documents: loaded.documents, overrides, warnings, address, ttrpcAddress, timeouts };
}

function ownerOf(listener: Table): Table {
  return Object.fromEntries(Object.entries(listener).filter(([key]) => key === "uid" || key === "gid"));
}

async function throwProblems(problems: readonly ConfigProblem[]): Promise<void> {
  const [first] = problems;
  if (first === undefined) return;
  const more = problems.length === 1 ? "" : ` (and ${problems.length - 1} more)`;
  throw invalidArgument(`${await formatProblem(first)}${more}`);
}

/** The command line as a document. */
export function overridesTable(overrides: ConfigOverrides): Table {
  const table: Table = {};
  if (overrides.root !== undefined) table["root"] = overrides.root;
  if (overrides.state !== undefined) table["state"] = overrides.state;
  if (overrides.logLevel !== undefined) table["debug"] = { level: overrides.logLevel };
  if (overrides.address !== undefined) table["plugins"] = { [grpcServerUri]: { address: overrides.address } };
  return table;
}
