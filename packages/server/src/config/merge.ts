import type { KeyPath, Table } from "./key-path.ts";
import { isTable } from "./key-path.ts";

/** Top-level lists of names: appended, each name once. */
const appendedLists = new Set(["disabled_plugins", "required_plugins", "imports"]);
/** Top-level tables whose entries are replaced whole. */
const entryTables = new Set(["stream_processors", "proxy_plugins", "timeouts"]);

/** Which tables a value came from: indices for the value and all in it, or an entry for each key. */
type Sources = readonly number[] | Map<string, Sources>;

/** A value and where it came from. */
interface Merged {
  readonly value: unknown;
  readonly sources: Sources;
}

/** Tables merged into one. */
export interface MergedTables {
  readonly table: Table;
  /** Indices of the tables that the value at `path` came from; empty when none of them has it. */
  sourcesOf(path: KeyPath): readonly number[];
}

/**
 * Merges tables of the newest layout; later ones win.
 *
 * A zero value (`""`, `0`, `false`) of a typed top-level key cannot unset an earlier one. Plugin tables are merged
 * deeply, with arrays replaced and zero values kept.
 */
export function mergeTables(tables: readonly Table[]): MergedTables {
  const [table, sources] = [emptyTable(), new Map<string, Sources>()];
  for (const [index, one] of tables.entries()) {
    for (const [key, value] of Object.entries(one)) {
      const later: Merged = { value, sources: [index] };
      const earlier = { value: table[key], sources: sources.get(key) ?? [] };
      const merged = table[key] === undefined ? later : mergeTop(key, earlier, later);
      table[key] = merged === later ? structuredClone(value) : merged.value;
      sources.set(key, merged.sources);
    }
  }
  return { table, sourcesOf: (path) => lookUp(sources, path) };
}

function mergeTop(key: string, earlier: Merged, later: Merged): Merged {
  if (Array.isArray(later.value)) {
    if (!appendedLists.has(key) || !Array.isArray(earlier.value)) return later;
    const list = [...new Set<unknown>([...(earlier.value as unknown[]), ...(later.value as unknown[])])];
    // A list that adds nothing is no source.
    if (list.length === earlier.value.length) return earlier;
    return { value: list, sources: [...allOf(earlier.sources), ...allOf(later.sources)] };
  }
  if (isTable(later.value) && isTable(earlier.value)) {
    if (entryTables.has(key)) return mergeKeys(earlier, later, (_before, after) => after);
    return key === "plugins" ? mergeKeys(earlier, later, mergeDeep) : mergeKeys(earlier, later, keepNonZero);
  }
  return keepNonZero(earlier, later);
}

function mergeKeys(earlier: Merged, later: Merged, merge: (before: Merged, after: Merged) => Merged): Merged {
  const table = Object.assign(emptyTable(), earlier.value);
  const sources = new Map(Object.keys(table).map((key) => [key, entryOf(earlier.sources, key)]));
  for (const [key, value] of Object.entries(later.value as Table)) {
    const after: Merged = { value, sources: entryOf(later.sources, key) };
    const before: Merged = { value: table[key], sources: sources.get(key) ?? [] };
    const merged = before.value === undefined ? after : merge(before, after);
    table[key] = merged.value;
    sources.set(key, merged.sources);
  }
  return { value: table, sources };
}

function mergeDeep(before: Merged, after: Merged): Merged {
  return isTable(after.value) && isTable(before.value) ? mergeKeys(before, after, mergeDeep) : after;
}

function keepNonZero(before: Merged, after: Merged): Merged {
  return after.value === "" || after.value === 0 || after.value === false ? before : after;
}

function entryOf(sources: Sources, key: string): Sources {
  return sources instanceof Map ? (sources.get(key) ?? []) : sources;
}

function lookUp(sources: Sources, path: KeyPath): readonly number[] {
  let found = sources;
  for (const part of path) found = entryOf(found, String(part));
  return allOf(found);
}

function allOf(sources: Sources): readonly number[] {
  if (!(sources instanceof Map)) return sources;
  return [...new Set([...sources.values()].flatMap(allOf))];
}

/** Tables have no prototype, so that no key of a file can reach one. */
function emptyTable(): Table {
  return Object.create(null) as Table;
}
