/** Reading what ctr prints. */

/** Rows of a table under its header, each an object by column title. Columns begin where their titles do. */
export function tableRows(text: string): Record<string, string>[] {
  const [header = "", ...lines] = text.trimEnd().split("\n");
  const titles = [...header.matchAll(/CREATED AT|\S+/g)].map((match) => ({ title: match[0], at: match.index }));
  return lines.map((line) => {
    const row: Record<string, string> = {};
    titles.forEach(({ title, at }, i) => (row[title] = line.slice(at, titles[i + 1]?.at).trim()));
    return row;
  });
}

/** Words of each line under the header. */
export function wordRows(text: string): string[][] {
  return text
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/));
}

export interface SeenEvent {
  readonly topic: string;
  readonly namespace: string;
  readonly body: Record<string, unknown>;
}

/** One line of `ctr events`. */
export function parseEvent(line: string): SeenEvent | undefined {
  const match = /^\S+ \S+ \S+ \S+ (\S+) (\/\S+) (.*)$/.exec(line);
  if (match === null) return undefined;
  const [, namespace = "", topic = "", json = ""] = match;
  return { topic, namespace, body: JSON.parse(json) as Record<string, unknown> };
}
