import { parseGoDuration } from "@ctrd/core/durations";
import { messageOf } from "@ctrd/core/errors";
import type { AnyRegistration, LoadedPlugin } from "@ctrd/core/plugin";
import { pluginUri } from "@ctrd/core/plugin";
import { checkTable, nearestPlugin, unknownKey } from "./check.ts";
import { effectOf } from "./containerd-keys.ts";
import { daemonTable } from "./daemon-table.ts";
import type { ConfigDocument, ConfigProblem } from "./document.ts";
import { placeOf } from "./document.ts";
import type { LoadedDocuments } from "./load.ts";
import { isTable } from "./key-path.ts";
import { checkProxyPlugins } from "./proxy-plugins.ts";

/** What is wrong in documents, and what of them has no effect (one sentence each, with its place). */
export async function findProblems(
  { documents }: LoadedDocuments,
  plugins: readonly LoadedPlugin[],
): Promise<{ problems: ConfigProblem[]; warnings: string[] }> {
  const registrations = new Map(plugins.map(({ registration }) => [pluginUri(registration), registration]));
  const proxies = await checkProxyPlugins(documents, plugins);
  const known = new Set([...registrations.keys(), ...proxies.uris]);
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  for (const document of documents) {
    problems.push(...(await checkTopLevel(document)));
    problems.push(...(await checkPlugins(document, registrations, warnings)));
    problems.push(...(await checkPluginLists(document, known, warnings)));
    warnings.push(...(await unsupported(document)));
  }
  // After the others: a mistyped key explains a missing one.
  problems.push(...proxies.problems);
  return { problems, warnings };
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
      const place = await placeOf(document, ["plugins", uri]);
      warnings.push(`${place}: plugin "${uri}" is not part of this daemon, its table is ignored${hint}`);
      continue;
    }
    const findings =
      registration.config === undefined
        ? Object.keys(table).map((key) => ({ path: [key], message: unknownKey(key, []) }))
        : await checkTable(registration.config, table);
    for (const { path, message } of findings) {
      const [key] = path;
      const why = path.length === 1 && message.startsWith("unknown key") ? effectOf(uri, String(key)) : undefined;
      if (why !== undefined) {
        warnings.push(`${await placeOf(document, ["plugins", uri, ...path])}: ${String(key)} has no effect: ${why}`);
      } else {
        problems.push({ document, path: ["plugins", uri, ...path], message });
      }
    }
  }
  return problems;
}

async function checkPluginLists(
  document: ConfigDocument,
  known: ReadonlySet<string>,
  warnings: string[],
): Promise<ConfigProblem[]> {
  const problems: ConfigProblem[] = [];
  for (const key of ["disabled_plugins", "required_plugins"]) {
    const list = document.table[key];
    for (const [index, uri] of (Array.isArray(list) ? list : []).entries()) {
      if (typeof uri !== "string" || known.has(uri)) continue;
      const suggestion = nearestPlugin(uri, known);
      const hint = suggestion === undefined ? "" : `, did you mean "${suggestion}"?`;
      if (!uri.includes(".")) {
        problems.push({ document, path: [key, index], message: `"${uri}" is not a <type>.<id> of a plugin${hint}` });
      } else if (key === "required_plugins") {
        const message = `required plugin "${uri}" is not part of this daemon${hint || ", add its package"}`;
        problems.push({ document, path: [key, index], message });
      } else {
        warnings.push(
          `${await placeOf(document, [key, index])}: disabled plugin "${uri}" is not part of this daemon${hint}`,
        );
      }
    }
  }
  return problems;
}

/** Settings that are understood but that this daemon cannot follow. */
async function unsupported(document: ConfigDocument): Promise<string[]> {
  const { cgroup, stream_processors: processors } = document.table;
  const warnings: string[] = [];
  if (isTable(cgroup) && typeof cgroup["path"] === "string" && cgroup["path"] !== "") {
    const place = await placeOf(document, ["cgroup", "path"]);
    warnings.push(`${place}: cgroup.path is ignored: let the service manager place the daemon`);
  }
  for (const id of isTable(processors) ? Object.keys(processors) : []) {
    const place = await placeOf(document, ["stream_processors", id]);
    warnings.push(`${place}: stream processor "${id}" is ignored: layers of other kinds need a differ plugin`);
  }
  return warnings;
}
