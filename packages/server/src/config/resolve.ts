import { normalize } from "node:path";
import { parseGoDuration } from "@ctrd/core/durations";
import { invalidArgument } from "@ctrd/core/errors";
import type { AnyRegistration, LoadedPlugin } from "@ctrd/core/plugin";
import { pluginUri } from "@ctrd/core/plugin";
import { checkTable } from "./check.ts";
import type { KnownPlugins } from "./check-document.ts";
import { checkDocument } from "./check-document.ts";
import type { DaemonTable } from "./daemon-table.ts";
import { daemonTable, defaultStreamProcessors, defaultTimeouts } from "./daemon-table.ts";
import type { ConfigDocument, ConfigProblem } from "./document.ts";
import { formatProblems } from "./document.ts";
import type { LoadedDocuments } from "./load.ts";
import { documentOf } from "./load.ts";
import type { KeyPath, Table } from "./key-path.ts";
import { isTable, startsWith } from "./key-path.ts";
import { mergeTables } from "./merge.ts";
import { checkProxyPlugins } from "./proxy-plugins.ts";
import { ValueSources } from "./value-sources.ts";

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
  /** What has no effect: `file:line:column: key: why`. */
  readonly warnings: readonly string[];
  /** Where the values of the table came from. */
  readonly sources: ValueSources;
  /** Path of the gRPC socket. */
  readonly address: string;
  /** Path of the ttrpc socket. */
  readonly ttrpcAddress: string;
  /** `[timeouts]` in milliseconds. */
  readonly timeouts: ReadonlyMap<string, number>;
}

/** What {@link checkConfig} found, one line each: `file:line:column: key: message`. */
export interface ConfigReport {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** Undefined when there are problems. */
  readonly config: DaemonConfig | undefined;
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
  const { config, problems } = await checkConfig(loaded, plugins, overrides);
  if (config !== undefined) return config;
  const [first = ""] = problems;
  throw invalidArgument(problems.length === 1 ? first : `${first} (and ${problems.length - 1} more)`);
}

/** Does what {@link resolveConfig} does, and reports every mistake. */
export async function checkConfig(
  loaded: LoadedDocuments,
  plugins: readonly LoadedPlugin[],
  overrides: ConfigOverrides = {},
): Promise<ConfigReport> {
  const documents = [...loaded.documents];
  const overriding = overridesTable(overrides);
  if (Object.keys(overriding).length > 0) documents.push(documentOf(overriding, "command line"));
  const proxies = await checkProxyPlugins(documents, plugins);
  const known: KnownPlugins = new Map([
    ...proxies.uris.map((uri): [string, undefined] => [uri, undefined]),
    ...plugins.map(({ registration }): [string, AnyRegistration] => [pluginUri(registration), registration]),
  ]);
  const reports = await Promise.all(documents.map((document) => checkDocument(document, known)));
  const found = (kind: "problems" | "warnings"): ConfigProblem[] =>
    reports.flatMap((report, index) => report[kind].map((finding) => ({ document: at(documents, index), ...finding })));
  const problems = found("problems");
  // A mistyped key explains a missing one.
  problems.push(...proxies.problems.filter((missing) => !problems.some((other) => isBeside(other, missing))));
  const warnings = await formatProblems([...loaded.warnings, ...found("warnings")]);
  const merged = mergeTables(reports.map(({ table }) => table));
  const sources = new ValueSources(documents, merged);
  if (problems.length === 0) problems.push(...(await checkMerged(merged.table, known, sources)));
  if (problems.length > 0) return { problems: await formatProblems(problems), warnings, config: undefined };
  const files = loaded.documents.map(({ name }) => name);
  return { problems: [], warnings, config: finish(await withDefaults(merged.table), { files, warnings, sources }) };
}

/** Whether two problems are in the same entry of `proxy_plugins`. */
function isBeside(one: ConfigProblem, other: ConfigProblem): boolean {
  return one.document === other.document && startsWith(one.path, other.path.slice(0, 2));
}

/** What is wrong only with all documents taken together. */
async function checkMerged(table: Table, known: KnownPlugins, sources: ValueSources): Promise<ConfigProblem[]> {
  const problems: ConfigProblem[] = [];
  const add = (path: KeyPath, message: string): void => {
    problems.push({ document: sources.documentOf(path), path, message });
  };
  const { root, state } = await withDefaults(table);
  if (cleanPath(root) === cleanPath(state)) {
    const place = table["state"] === undefined ? "root" : "state";
    add([place], `root and state must be different directories, both are ${cleanPath(root)}`);
  }
  for (const [uri, own] of Object.entries(isTable(table["plugins"]) ? table["plugins"] : {})) {
    const schema = known.get(uri)?.config;
    if (schema === undefined) continue;
    for (const { path, message } of await checkTable(schema, own)) add(["plugins", uri, ...path], message);
  }
  return problems;
}

async function withDefaults(merged: Table): Promise<DaemonTable> {
  const timeouts = { ...defaultTimeouts, ...(isTable(merged["timeouts"]) ? merged["timeouts"] : {}) };
  const processors = isTable(merged["stream_processors"]) ? merged["stream_processors"] : {};
  const stream_processors = { ...defaultStreamProcessors, ...processors };
  const result = await daemonTable.standard["~standard"].validate({ ...merged, timeouts, stream_processors });
  if (result.issues === undefined) return result.value;
  throw invalidArgument(`configuration: ${result.issues.map((issue) => issue.message).join("; ")}`);
}

function cleanPath(path: string): string {
  return normalize(path).replace(/(.)\/$/, "$1");
}

function finish(table: DaemonTable, facts: Pick<DaemonConfig, "files" | "warnings" | "sources">): DaemonConfig {
  for (const key of ["root", "state"] as const) table[key] = cleanPath(table[key]);
  const grpc = (table.plugins[grpcServerUri] ??= {});
  const ttrpc = (table.plugins[ttrpcServerUri] ??= {});
  const address = String(grpc["address"] || `${table.state}/ctrd.sock`);
  const ttrpcAddress = String(ttrpc["address"] || `${address}.ttrpc`);
  if (!grpc["address"]) facts.sources.setDerived(["plugins", grpcServerUri, "address"], "default, in state");
  // The ttrpc socket follows the gRPC one, owner included, unless it is configured itself.
  if (!ttrpc["address"]) {
    const owner = Object.entries(grpc).filter(([key]) => (key === "uid" || key === "gid") && ttrpc[key] === undefined);
    Object.assign(ttrpc, Object.fromEntries(owner));
    for (const key of ["address", ...owner.map(([name]) => name)]) {
      facts.sources.setDerived(["plugins", ttrpcServerUri, key], `as of ${grpcServerUri}`);
    }
  }
  grpc["address"] = address;
  ttrpc["address"] = ttrpcAddress;
  const timeouts = new Map(Object.entries(table.timeouts).map(([name, text]) => [name, parseGoDuration(text)]));
  return { table, ...facts, address, ttrpcAddress, timeouts };
}

function overridesTable(overrides: ConfigOverrides): Table {
  const table: Table = {};
  if (overrides.root !== undefined) table["root"] = overrides.root;
  if (overrides.state !== undefined) table["state"] = overrides.state;
  if (overrides.logLevel !== undefined) table["debug"] = { level: overrides.logLevel };
  if (overrides.address !== undefined) table["plugins"] = { [grpcServerUri]: { address: overrides.address } };
  return table;
}

function at(documents: readonly ConfigDocument[], index: number): ConfigDocument {
  const document = documents[index];
  if (document === undefined) throw new Error(`there is no document ${index}`);
  return document;
}
