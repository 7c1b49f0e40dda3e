/** Names of keys whose values are not for everybody who may ask a daemon what it is made of. */
const secretKey = /password|secret|token|key_data/i;

/** What stands for a secret that is set. */
const hidden = "***";

/**
 * A configuration as plain data that JSON and TOML can hold, secrets hidden. Schemas may make any values of what the
 * file says: maps become tables, dates and large integers strings, functions are left out.
 */
export function plainConfig(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof RegExp || value instanceof URL) return String(value);
  if (Array.isArray(value) || value instanceof Set) return [...value].map(plainConfig);
  const entries: [string, unknown][] =
    value instanceof Map ? [...value].map(([key, item]) => [String(key), item]) : Object.entries(value);
  // Without a prototype, a key "__proto__" is a key like any other.
  const table: Record<string, unknown> = Object.create(null);
  for (const [key, item] of entries) {
    table[key] = secretKey.test(key) && item !== "" && item !== undefined ? hidden : plainConfig(item);
  }
  return table;
}
