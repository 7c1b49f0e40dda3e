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

/** Something wrong in a document. `path` is in the newest layout. */
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

/** `file:line:column` of a key, or as much of it as is known. `path` is in the newest layout. */
export async function placeOf(document: ConfigDocument, path: KeyPath): Promise<string> {
  if (document.text === undefined) return document.name;
  // Loaded only for messages: a good configuration needs no positions.
  const { locate } = await import("./positions.ts");
  const position = locate(document.text, originOf(document, path));
  return position === undefined ? document.name : `${document.name}:${position.line}:${position.column}`;
}

/** `file:line:column: key.path: message`. */
export async function formatProblem({ document, path, message }: ConfigProblem): Promise<string> {
  const origin = originOf(document, path);
  const place = await placeOf(document, path);
  return origin.length === 0 ? `${place}: ${message}` : `${place}: ${formatKeyPath(origin)}: ${message}`;
}
