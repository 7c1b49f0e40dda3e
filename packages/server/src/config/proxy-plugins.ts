/**
 * What can be wrong in `proxy_plugins` tables.
 *
 * @module
 */
import { ContentPlugin } from "@ctrd/core/content";
import type { LoadedPlugin } from "@ctrd/core/plugin";
import { describeSource, pluginUri } from "@ctrd/core/plugin";
import type { ProxyPluginTable } from "./daemon-table.ts";
import type { ConfigDocument, ConfigProblem } from "./document.ts";
import { isTable } from "./key-path.ts";

/** A well-formed entry of a `proxy_plugins` table, and the document that it is in. */
interface Entry {
  readonly document: ConfigDocument;
  readonly id: string;
  readonly settings: ProxyPluginTable;
}

/** What the `proxy_plugins` tables of documents say. */
export interface ProxyPluginFindings {
  /** `<type>.<id>` of the plugins. */
  readonly uris: readonly string[];
  readonly problems: readonly ConfigProblem[];
}

/** Checks the `proxy_plugins` tables; `plugins` may have the proxy plugins of an earlier configuration among them. */
export async function checkProxyPlugins(
  documents: readonly ConfigDocument[],
  plugins: readonly LoadedPlugin[],
): Promise<ProxyPluginFindings> {
  const entries = documents.flatMap(entriesOf);
  if (entries.length === 0) return { uris: [], problems: [] };
  const { checkProxySettings, proxyPluginType } = await import("@ctrd/proxy");
  const others = plugins.filter(({ source }) => source?.name !== "@ctrd/proxy");
  const disabled = new Set(documents.flatMap(({ table }) => listOf(table["disabled_plugins"])));
  const uris: string[] = [];
  const problems: ConfigProblem[] = [];
  for (const { document, id, settings } of entries) {
    const wrong = checkProxySettings(id, settings);
    const type = proxyPluginType(settings.type);
    if (wrong !== undefined || type === undefined) {
      const path = wrong?.key === undefined ? ["proxy_plugins", id] : ["proxy_plugins", id, wrong.key];
      problems.push({ document, path, message: wrong?.message ?? "unknown type" });
      continue;
    }
    const uri = pluginUri({ type, id });
    uris.push(uri);
    const message = conflictOf(uri, type.name, others, disabled);
    if (message !== undefined) problems.push({ document, path: ["proxy_plugins", id], message });
  }
  return { uris, problems };
}

/** Why a proxy plugin cannot be beside the daemon's other plugins. */
function conflictOf(
  uri: string,
  type: string,
  others: readonly LoadedPlugin[],
  disabled: ReadonlySet<string>,
): string | undefined {
  const same = others.find(({ registration }) => pluginUri(registration) === uri);
  if (same !== undefined) return `${describeSource(same.source)} has a plugin ${uri} already; choose another id`;
  if (type !== ContentPlugin.name || disabled.has(uri)) return undefined;
  const store = others.find(
    ({ registration }) => registration.type.name === type && !disabled.has(pluginUri(registration)),
  );
  if (store === undefined) return undefined;
  const name = pluginUri(store.registration);
  const owner = describeSource(store.source);
  return `a daemon has one content store, and has ${name} (${owner}) already; add "${name}" to disabled_plugins`;
}

function entriesOf(document: ConfigDocument): Entry[] {
  const table = document.table["proxy_plugins"];
  return Object.entries(isTable(table) ? table : {}).flatMap(([id, given]) => {
    const settings = {
      type: "",
      address: "",
      platform: "",
      exports: {},
      capabilities: [],
      ...(isTable(given) ? given : {}),
    };
    // Values of a wrong type are findings of the schema.
    const isWellFormed = [settings.type, settings.address, settings.platform].every(
      (value) => typeof value === "string",
    );
    return isWellFormed ? [{ document, id, settings }] : [];
  });
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
