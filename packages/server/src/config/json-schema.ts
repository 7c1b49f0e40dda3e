/**
 * One JSON Schema for the whole configuration file, for editors and checks outside of the daemon.
 *
 * @module
 */
import type { LoadedPlugin } from "@ctrd/core/plugin";
import { pluginUri } from "@ctrd/core/plugin";
import { daemonTable } from "./daemon-table.ts";
import type { Table } from "./key-path.ts";
import { isTable } from "./key-path.ts";

/** JSON Schema 2020-12 of the newest layout, with the table of every plugin that the daemon has. */
export function configJsonSchema(plugins: readonly LoadedPlugin[]): Table {
  const daemon = daemonTable.jsonSchema();
  const properties = isTable(daemon["properties"]) ? daemon["properties"] : {};
  const tables: Table = {};
  for (const { registration } of plugins) {
    const uri = pluginUri(registration);
    tables[uri] =
      registration.config === undefined
        ? { type: "object", title: uri, description: "Takes no configuration.", additionalProperties: false }
        : embedded(uri, registration.config.jsonSchema());
  }
  const { $schema: _, ...rest } = daemon;
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: "https://ctrd.dev/schemas/config-4.json",
    title: "Configuration of ctrd",
    ...(strict(rest) as Table),
    properties: {
      ...(strict(properties) as Table),
      plugins: {
        type: "object",
        description: "Tables of plugins, by <type>.<id>.",
        properties: tables,
        // Of plugins that this daemon does not have: ignored with a warning.
        additionalProperties: { type: "object" },
      },
    },
  };
}

function embedded(uri: string, schema: Record<string, unknown>): Table {
  const { $schema: _, ...rest } = schema;
  // References inside start at the plugin's own schema.
  const own = rest["$defs"] === undefined ? {} : { $id: `https://ctrd.dev/schemas/plugins/${encodeURIComponent(uri)}` };
  return { ...own, title: uri, ...(strict(rest) as Table) };
}

/** The same schema, in which objects have no other keys than they name. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (!isTable(schema)) return schema;
  const copy: Table = {};
  for (const [key, value] of Object.entries(schema)) {
    // These hold values, not schemas.
    copy[key] = key === "default" || key === "enum" || key === "const" || key === "examples" ? value : strict(value);
  }
  const names = isTable(schema["properties"]) && schema["type"] === "object";
  return names && schema["additionalProperties"] === undefined ? { ...copy, additionalProperties: false } : copy;
}
