import type { KeyPath, Table } from "./key-path.ts";
import { formatKeyPath } from "./key-path.ts";

/** One configuration file, or a table given in code, in the newest layout. */
export interface ConfigDocument {
  /** Path of the file, or how messages call a table given in code. */
  readonly name: string;
  /** Text of the file, for positions; undefined for a table given in code. */
  readonly text: string | undefined;
  readonly table: Table;
  /** Where migrated keys stood in the text: old paths by `JSON.stringify` of the new ones. */
  readonly origins: ReadonlyMap<string, KeyPath>;
}

/** Something that is wrong in a document, or has no effect. `path` is in the newest layout. */
export interface ConfigProblem {
  readonly document: ConfigDocument;
  readonly path: KeyPath;
  readonly message: string;
}

/** The path that the text has for a path of the newest layout. */
export function originOf(document: ConfigDocument, path: KeyPath): KeyPath {
  for (let length = path.length; length > 0; length--) {
    const origin = document.origins.get(JSON.stringify(path.slice(0, length)));
    if (origin !== undefined) return [...origin, ...path.slice(length)];
  }
  return path;
}

/** `file:line:column: key.path: message`. */
export async function formatProblem(problem: ConfigProblem): Promise<string> {
  const [line = ""] = await formatProblems([problem]);
  return line;
}

/** The problems as {@link formatProblem} writes them: file by file, and in a file from top to bottom. */
export async function formatProblems(problems: readonly ConfigProblem[]): Promise<string[]> {
  if (problems.length === 0) return [];
  // Loaded only for messages: a good configuration needs no positions.
  const { locate } = await import("./positions.ts");
  const files = [...new Set(problems.map(({ document }) => document.name))];
  const lines = problems.map(({ document, path, message }) => {
    const origin = originOf(document, path);
    const position = locate(document, origin);
    const place = position === undefined ? "" : `:${position.line}:${position.column}`;
    const key = origin.length === 0 ? "" : `${formatKeyPath(origin)}: `;
    const order = [files.indexOf(document.name), position?.line ?? 0, position?.column ?? 0];
    return { text: `${document.name}${place}: ${key}${message}`, order };
  });
  return lines.sort((a, b) => compare(a.order, b.order)).map(({ text }) => text);
}

function compare(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, at) => value !== b[at]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
