import { maskedKey } from "@ctrd/core/field-mask";

/**
 * `current` after an Update with the path `<field>.<key>`: the key has the value of `wanted`, or is gone when `wanted`
 * has none. Undefined when `path` is not a path into this field.
 */
export function maskMapField<V>(
  current: ReadonlyMap<string, V>,
  wanted: ReadonlyMap<string, V>,
  path: string,
  field: string,
): Map<string, V> | undefined {
  const key = maskedKey(path, field);
  if (key === undefined) return undefined;
  const changed = new Map(current);
  const value = wanted.get(key);
  if (value === undefined) changed.delete(key);
  else changed.set(key, value);
  return changed;
}

/** The entries that have a value; messages from the wire may hold a key alone. */
export function withoutAbsent<V>(map: ReadonlyMap<string, V>): Map<string, V> {
  const present = new Map<string, V>();
  for (const [key, value] of map) if (value !== undefined) present.set(key, value);
  return present;
}
