import type { Table } from "./key-path.ts";
import { isTable } from "./key-path.ts";

/** Top-level lists of names: appended, each name once. */
const appendedLists = new Set(["disabled_plugins", "required_plugins", "imports"]);
/** Top-level tables whose entries are replaced whole. */
const entryTables = new Set(["stream_processors", "proxy_plugins", "timeouts"]);

/**
 * Merges documents of the newest layout; later ones win.
 *
 * A zero value (`""`, `0`, `false`) of a typed top-level key cannot unset an earlier one. Plugin tables are merged
 * deeply, with arrays replaced and zero values kept.
 */
export function mergeTables(tables: readonly Table[]): Table {
  const merged: Table = emptyTable();
  for (const table of tables) {
    for (const [key, value] of Object.entries(table)) merged[key] = mergeTop(key, merged[key], value);
  }
  return merged;
}

function mergeTop(key: string, earlier: unknown, later: unknown): unknown {
  if (earlier === undefined) return structuredClone(later);
  if (Array.isArray(later)) {
    if (!appendedLists.has(key) || !Array.isArray(earlier)) return later;
    return [...new Set<unknown>([...(earlier as unknown[]), ...(later as unknown[])])];
  }
  if (isTable(later) && isTable(earlier)) {
    if (entryTables.has(key)) return Object.assign(emptyTable(), earlier, later);
    return key === "plugins" ? mergeDeep(earlier, later) : mergeTyped(earlier, later);
  }
  return isZero(later) ? earlier : later;
}

function mergeTyped(earlier: Table, later: Table): Table {
  const merged = Object.assign(emptyTable(), earlier);
  for (const [key, value] of Object.entries(later)) {
    if (merged[key] === undefined || !isZero(value)) merged[key] = value;
  }
  return merged;
}

function mergeDeep(earlier: Table, later: Table): Table {
  const merged = Object.assign(emptyTable(), earlier);
  for (const [key, value] of Object.entries(later)) {
    const before = merged[key];
    merged[key] = isTable(value) && isTable(before) ? mergeDeep(before, value) : value;
  }
  return merged;
}

/** Tables have no prototype, so that no key of a file can reach one. */
function emptyTable(): Table {
  return Object.create(null) as Table;
}

function isZero(value: unknown): boolean {
  return value === "" || value === 0 || value === false;
}
