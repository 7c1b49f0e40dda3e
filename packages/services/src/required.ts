import { internal, invalidArgument } from "@ctrd/core/errors";

/**
 * A message field that the caller must set.
 *
 * @throws ContainerdError `invalid-argument` when it is absent
 */
export function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw invalidArgument(`${what} must be set`);
  return value;
}

/**
 * A message field that the server must set.
 *
 * @throws ContainerdError `internal` when it is absent
 */
export function answered<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw internal(`the server answered without ${what}`);
  return value;
}
