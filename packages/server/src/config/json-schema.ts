import type { LoadedPlugin } from "@ctrd/core/plugin";
import { describeSource, pluginUri } from "@ctrd/core/plugin";
import { daemonTable } from "./daemon-table.ts";
import type { Table } from "./key-path.ts";
import { isTable } from "./key-path.ts";
import { latestVersion } from "./migrate.ts";

/**
 * The JSON Schema (2020-12) of a whole configuration file in the newest layout: the daemon's table and that of every
 * plugin. Keys that nobody knows are mistakes, tables of plugins that are not there are not.
 */
export function configJsonSchema(plugins: readonly LoadedPlugin[]): Table {
  const definitions: Table = {};
  const tables: Table = {};
  for (const { registration, source } of plugins) {
    const uri = pluginUri(registration);
    const schema = registration.config?.jsonSchema() ?? { type: "object", properties: {} };
    const title = source === undefined ? uri : `${uri} (${describeSource(source)})`;
    const description = registration.config === undefined ? { description: "The plugin takes no configuration." } : {};
    tables[uri] = { title, ...description, ...embedded(schema, uri, definitions) };
  }
  const own = seal(withoutDialect(daemonTable.jsonSchema())) as Table;
  const properties = own["properties"] as Table;
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: `urn:ctrd:config:${latestVersion}`,
    title: "Configuration of ctrd",
    description: `A configuration file in layout version ${latestVersion}; ctrd config migrate prints an older one in it.`,
    ...own,
    properties: {
      ...properties,
      version: {
        const: latestVersion,
        default: latestVersion,
        description: "Layout of this file. Older ones are read too; ctrd config migrate prints them in this one.",
      },
      plugins: {
        type: "object",
        default: {},
        description: "Tables of plugins, by <type>.<id>.",
        properties: tables,
        // What another composition has is ignored with a warning.
        patternProperties: { [String.raw`^.+\..+$`]: { type: "object" } },
        additionalProperties: false,
      },
    },
    ...(Object.keys(definitions).length === 0 ? {} : { $defs: definitions }),
  };
}

/** A plugin's schema as a part of the whole: its definitions become definitions of the whole. */
function embedded(schema: Table, uri: string, definitions: Table): Table {
  const { $defs, ...rest } = withoutDialect(schema);
  const rename = (reference: string): string =>
    reference === "#"
      ? `#/properties/plugins/properties/${pointer(uri)}`
      : reference.replace(/^#\/\$defs\//, `#/$defs/${pointer(`${uri}:`)}`);
  for (const [name, definition] of Object.entries(isTable($defs) ? $defs : {})) {
    definitions[`${uri}:${name}`] = seal(renamed(definition, rename));
  }
  return seal(renamed(rest, rename)) as Table;
}

function withoutDialect({ $schema: _dialect, $id: _id, ...schema }: Table): Table {
  return schema;
}

function renamed(value: unknown, rename: (reference: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename));
  if (!isTable(value)) return value;
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => [
    key,
    key === "$ref" && typeof item === "string" ? rename(item) : renamed(item, rename),
  ]);
  return Object.fromEntries(entries);
}

/** Keywords whose value is a schema, a list of schemas, or schemas by name. */
const oneSchema = ["items", "additionalProperties", "not", "if", "then", "else", "propertyNames", "contains"];
const schemaLists = ["anyOf", "oneOf", "prefixItems"];
const schemasByName = ["properties", "patternProperties", "$defs"];

/** Refuses keys that an object's schema does not name, where it does not say otherwise; makes patterns portable. */
function seal(schema: unknown): unknown {
  if (!isTable(schema)) return schema;
  const sealed: Table = { ...schema };
  // Editors' engines do not all know `\0`.
  if (typeof sealed["pattern"] === "string") sealed["pattern"] = sealed["pattern"].replaceAll(/\\0(?!\d)/g, "\\x00");
  for (const key of oneSchema) if (key in sealed) sealed[key] = seal(sealed[key]);
  for (const key of schemaLists) {
    const list = sealed[key];
    if (Array.isArray(list)) sealed[key] = list.map(seal);
  }
  for (const key of schemasByName) {
    const named = sealed[key];
    if (!isTable(named)) continue;
    sealed[key] = Object.fromEntries(Object.entries(named).map(([name, item]) => [name, seal(item)]));
  }
  // The members of allOf see the keys of one another only together.
  if (Array.isArray(sealed["allOf"])) sealed["unevaluatedProperties"] ??= false;
  else if (isTable(sealed["properties"])) sealed["additionalProperties"] ??= false;
  return sealed;
}

/** A key as a part of a JSON pointer. */
function pointer(key: string): string {
  return encodeURI(key.replaceAll("~", "~0").replaceAll("/", "~1"));
}
