import type { TomlError } from "smol-toml";
import { ParseError, parseTOML } from "toml-eslint-parser";
import type { KeyPath } from "./key-path.ts";
import { formatKeyPath } from "./key-path.ts";
import type { Positions } from "./positions.ts";
import { collectPositions } from "./positions.ts";

/** What is wrong with a text that is not TOML, in one sentence without the place. */
export function describeSyntaxError(text: string, error: TomlError): string {
  const [line = ""] = error.message.split("\n");
  const message = line.replace(/^Invalid TOML document: /, "");
  if (!message.startsWith("trying to redefine")) return `not TOML: ${message}`;
  const duplicate = findDuplicate(text, error.line);
  if (duplicate === undefined) return "a key is defined twice; remove one of the two";
  const { path, first } = duplicate;
  return `${formatKeyPath(path)}: defined twice, first on line ${first}; remove one of the two`;
}

/** The key that the statement on `line` defines although it, or a value in its way, is there already. */
function findDuplicate(text: string, line: number): { path: KeyPath; first: number } | undefined {
  const lines = text.split("\n");
  const before = definedIn(lines.slice(0, line - 1).join("\n"));
  const keys = before === undefined ? undefined : keysOf(lines[line - 1] ?? "");
  if (before === undefined || keys === undefined) return undefined;
  const path = keys.isHeader ? keys.path : [...before.table, ...keys.path];
  for (let length = path.length; length > 0; length--) {
    const first = before.positions.get(JSON.stringify(path.slice(0, length)));
    if (first !== undefined) return { path: path.slice(0, length), first: first.line };
  }
  return undefined;
}

/** The keys of a text, and the table that its end is in. */
function definedIn(text: string): { positions: Positions; table: KeyPath } | undefined {
  const body = parsed(text);
  if (body === undefined) return undefined;
  const last = body.at(-1);
  return { positions: collectPositions(text), table: last?.type === "TOMLTable" ? last.resolvedKey : [] };
}

/** The keys at the beginning of a statement, whose value may go on behind the line. */
function keysOf(line: string): { path: KeyPath; isHeader: boolean } | undefined {
  const header = /^\s*\[/.test(line) ? parsed(line)?.[0] : undefined;
  if (header?.type === "TOMLTable") {
    return { path: header.resolvedKey.filter((part) => typeof part === "string"), isHeader: true };
  }
  // A key may hold "=" in quotes: the first one behind which there is a key is the right one.
  for (let at = line.indexOf("="); at >= 0; at = line.indexOf("=", at + 1)) {
    const statement = parsed(`${line.slice(0, at)}= 0`)?.[0];
    if (statement?.type !== "TOMLKeyValue") continue;
    return {
      path: statement.key.keys.map((key) => (key.type === "TOMLBare" ? key.name : key.value)),
      isHeader: false,
    };
  }
  return undefined;
}

function parsed(text: string): ReturnType<typeof parseTOML>["body"][0]["body"] | undefined {
  try {
    return parseTOML(text).body[0].body;
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}
