/** Keys from the top of a document; numbers index arrays. */
export type KeyPath = readonly (string | number)[];

/** A TOML table. */
export type Table = Record<string, unknown>;

/** Writes a path as TOML writes keys: `plugins."io.containerd.gc.v1.scheduler".pause_threshold`. */
export function formatKeyPath(path: KeyPath): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += (text === "" ? "" : ".") + formatKey(part);
  }
  return text;
}

/** Writes one key, quoted where TOML asks for it. */
export function formatKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key);
}

/** Whether `value` is a table: an object that is neither an array nor a date. */
export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** The value at `path`, or undefined. */
export function valueAt(table: Table, path: KeyPath): unknown {
  let value: unknown = table;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Table)[part];
  }
  return value;
}

/** Whether `path` is `prefix` or lies below it. */
export function startsWith(path: KeyPath, prefix: KeyPath): boolean {
  return prefix.length <= path.length && prefix.every((part, index) => path[index] === part);
}
