import type { AST } from "toml-eslint-parser";
import { ParseError, parseTOML } from "toml-eslint-parser";
import type { ConfigDocument } from "./document.ts";
import type { KeyPath } from "./key-path.ts";

/** A place in a text; both count from 1. */
export interface Position {
  line: number;
  column: number;
}

const known: WeakMap<ConfigDocument, Positions> = new WeakMap();

/**
 * Where the key `path`, as the text has it, stands in a document, or the nearest table around it; undefined when there
 * is neither.
 */
export function locate(document: ConfigDocument, path: KeyPath): Position | undefined {
  if (document.text === undefined) return undefined;
  let positions = known.get(document);
  if (positions === undefined) {
    positions = collectPositions(document.text);
    known.set(document, positions);
  }
  for (let length = path.length; length > 0; length--) {
    const position = positions.get(JSON.stringify(path.slice(0, length)));
    if (position !== undefined) return position;
  }
  return undefined;
}

/** Places of keys, by `JSON.stringify` of their paths. */
export type Positions = Map<string, Position>;

/** Where every key of a TOML text stands. */
export function collectPositions(text: string): Positions {
  const positions: Positions = new Map();
  for (const entry of parseTop(text)) {
    if (entry.type === "TOMLKeyValue") {
      addKeyValue(positions, [], entry);
      continue;
    }
    // The last key of a header names the table; the keys before it are tables too.
    const names = entry.resolvedKey.filter((part) => typeof part === "string");
    addKeys(positions, entry.resolvedKey, entry.key.keys, names.length);
    for (const item of entry.body) addKeyValue(positions, entry.resolvedKey, item);
  }
  return positions;
}

function parseTop(text: string): AST.TOMLTopLevelTable["body"] {
  try {
    return parseTOML(text).body[0].body;
  } catch (error) {
    // The values are read by another parser. Where this one is stricter, a message goes without its position.
    if (error instanceof ParseError) return [];
    throw error;
  }
}

function addKeyValue(positions: Positions, base: KeyPath, entry: AST.TOMLKeyValue): void {
  const path = [...base, ...entry.key.keys.map(keyName)];
  addKeys(positions, path, entry.key.keys, entry.key.keys.length);
  addValue(positions, path, entry.value);
}

function addValue(positions: Positions, path: KeyPath, value: AST.TOMLContentNode): void {
  if (value.type === "TOMLInlineTable") {
    for (const entry of value.body) addKeyValue(positions, path, entry);
  } else if (value.type === "TOMLArray") {
    value.elements.forEach((element, index) => {
      set(positions, [...path, index], element.loc.start);
      addValue(positions, [...path, index], element);
    });
  }
}

/** Records the last `count` named parts of `path`, which `keys` spell. */
function addKeys(
  positions: Positions,
  path: KeyPath,
  keys: readonly (AST.TOMLBare | AST.TOMLQuoted)[],
  count: number,
): void {
  let index = keys.length;
  for (let end = path.length; end > 0 && count > 0; end--) {
    if (typeof path[end - 1] === "number") {
      set(positions, path.slice(0, end), keys[index - 1]?.loc.start);
      continue;
    }
    index--;
    count--;
    set(positions, path.slice(0, end), keys[index]?.loc.start);
  }
}

function set(positions: Positions, path: KeyPath, start: AST.Position | undefined): void {
  const key = JSON.stringify(path);
  if (start !== undefined && !positions.has(key)) positions.set(key, { line: start.line, column: start.column + 1 });
}

function keyName(key: AST.TOMLBare | AST.TOMLQuoted): string {
  return key.type === "TOMLBare" ? key.name : key.value;
}
