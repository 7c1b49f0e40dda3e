import type { ConfigSchema } from "@ctrd/core/config";
import { closest, distance } from "fastest-levenshtein";
import type { KeyPath, Table } from "./key-path.ts";
import { isTable } from "./key-path.ts";

/** A finding in a table; the path starts at the table. */
export interface Finding {
  readonly path: KeyPath;
  readonly message: string;
}

/** Unknown keys and values of a wrong type in `table`, by its schema. */
export async function checkTable(schema: ConfigSchema<unknown>, table: unknown): Promise<Finding[]> {
  const findings: Finding[] = [];
  const json = schema.jsonSchema();
  collectUnknown(json, json, table, [], findings);
  const result = await schema.standard["~standard"].validate(table);
  for (const issue of result.issues ?? []) {
    const path = (issue.path ?? []).map((part) => (typeof part === "object" ? part.key : part));
    // A strict schema reports unknown keys as well; those have been found, with a suggestion.
    if (issue.message.startsWith("Unrecognized key")) continue;
    findings.push({
      path: path.map((part) => (typeof part === "number" ? part : String(part))),
      message: issue.message.replace(/^Invalid input: /, "").replace(/: invalid argument$/, ""),
    });
  }
  return findings;
}

/** `unknown key "x"`, with the nearest of `known` when it is near. */
export function unknownKey(key: string, known: readonly string[]): string {
  const suggestion = nearest(key, known);
  if (suggestion !== undefined) return `unknown key "${key}", did you mean "${suggestion}"?`;
  if (known.length === 0) return `unknown key "${key}", there are no keys here`;
  const list = known.length > 12 ? `${known.slice(0, 12).join(", ")} …` : known.join(", ");
  return `unknown key "${key}", known are: ${list}`;
}

/**
 * The nearest of `known` if a slip of the pen explains the difference.
 *
 * @param limit most characters that may differ; by default a third of the word, but at least 2
 */
export function nearest(
  word: string,
  known: readonly string[],
  limit: number = Math.max(2, Math.floor(word.length / 3)),
): string | undefined {
  if (known.length === 0) return undefined;
  const candidate = closest(word, known);
  return distance(word, candidate) <= limit ? candidate : undefined;
}

/** The nearest of the `<type>.<id>`s, which are long and alike: two characters may differ. */
export function nearestPlugin(uri: string, known: Iterable<string>): string | undefined {
  return nearest(uri, [...known], 2);
}

type JsonSchema = Record<string, unknown>;

function collectUnknown(root: JsonSchema, schema: JsonSchema, value: unknown, path: KeyPath, out: Finding[]): void {
  const alternatives = alternativesOf(root, schema);
  if (Array.isArray(value)) {
    const items = alternatives.map((one) => one["items"]).find(isTable);
    if (items !== undefined) value.forEach((item, index) => collectUnknown(root, items, item, [...path, index], out));
    return;
  }
  if (!isTable(value)) return;
  const tables = alternatives.filter((one) => isTable(one["properties"]) || one["additionalProperties"] !== undefined);
  if (tables.length === 0) return;
  for (const [key, item] of Object.entries(value)) checkKey(root, tables, key, item, path, out);
}

function checkKey(
  root: JsonSchema,
  tables: readonly JsonSchema[],
  key: string,
  item: unknown,
  path: KeyPath,
  out: Finding[],
): void {
  const known: string[] = [];
  for (const one of tables) {
    const properties = propertiesOf(one);
    const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (isTable(property)) {
      collectUnknown(root, property, item, [...path, key], out);
      return;
    }
    const rest = one["additionalProperties"];
    if (isTable(rest)) {
      collectUnknown(root, rest, item, [...path, key], out);
      return;
    }
    if (rest === true) return;
    known.push(...Object.keys(properties));
  }
  out.push({ path: [...path, key], message: unknownKey(key, known) });
}

/** The schemas that a value may follow: the schema itself, or the members of its union. */
function alternativesOf(root: JsonSchema, schema: JsonSchema): JsonSchema[] {
  const reference = schema["$ref"];
  if (typeof reference === "string" && reference.startsWith("#/$defs/")) {
    const target = (root["$defs"] as Table | undefined)?.[reference.slice("#/$defs/".length)];
    return isTable(target) ? alternativesOf(root, target) : [];
  }
  const union = schema["anyOf"] ?? schema["oneOf"] ?? schema["allOf"];
  return Array.isArray(union) ? union.filter(isTable).flatMap((one) => alternativesOf(root, one)) : [schema];
}

function propertiesOf(schema: JsonSchema): Table {
  return isTable(schema["properties"]) ? schema["properties"] : {};
}
