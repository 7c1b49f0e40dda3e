/** A record with more entries. Any key is only a key, `__proto__` too. */
export function setEntries(
  record: Readonly<Record<string, string>> | undefined,
  more: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries([...Object.entries(record ?? {}), ...Object.entries(more)]);
}
