/**
 * Messages as Go's encoding/json writes them: keys in snake_case, what is empty left out.
 *
 * @module
 */

/** The message as a plain value for JSON. */
export function goJson(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), goJson(item)]));
  if (Array.isArray(value)) return value.map(goJson);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value)
    .filter(([, item]) => !isEmpty(item))
    .map(([key, item]): [string, unknown] => [snakeCase(key), goJson(item)]);
  return Object.fromEntries(entries);
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === 0 || value === 0n || value === false) {
    return true;
  }
  if (value instanceof Map) return value.size === 0;
  return (Array.isArray(value) || value instanceof Uint8Array) && value.length === 0;
}

/** `hostPath` → `host_path`; names that begin with capitals stay. */
function snakeCase(key: string): string {
  return /^[A-Z]/.test(key) ? key : key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
