import { CommandFailure } from "../failure.ts";

/** Reads `key=value` flags; a key without a value gets an empty one. */
export function parseAssignments(flag: string, texts: readonly string[]): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const text of texts) {
    const equals = text.indexOf("=");
    const key = equals < 0 ? text : text.slice(0, equals);
    if (key === "") throw new CommandFailure(`${flag} needs <key>=<value>, got ${JSON.stringify(text)}`);
    pairs.set(key, equals < 0 ? "" : text.slice(equals + 1));
  }
  return pairs;
}

/** Labels in one cell of a table. */
export function labelsText(labels: ReadonlyMap<string, string>): string {
  return [...labels].map(([key, value]) => `${key}=${value}`).join(",");
}
