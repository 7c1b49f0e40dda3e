import { isDeepStrictEqual } from "node:util";
import type { KeyPath, Table } from "./key-path.ts";
import { formatKey, formatKeyPath, isTable, startsWith, valueAt } from "./key-path.ts";
import type { ParsedFile } from "./load.ts";
import { latestVersion, migrate } from "./migrate.ts";
import type { DroppedValue, Migrated } from "./migration.ts";
import { destinationOf } from "./migration.ts";
import { printConfig, printValue } from "./print.ts";
import type { Statement, TomlSource } from "./toml-source.ts";
import { readTomlSource } from "./toml-source.ts";

/**
 * A file in the newest layout, with its comments and the spelling of its values. What has no place any more becomes a
 * comment with the reason.
 */
export async function migratedText(file: ParsedFile): Promise<string> {
  const { table: migrated, ...facts } = migrate(file.table, file.version);
  // What is given as a default, or not at all, in an older layout must not change with the version.
  const table: Table = { ...migrated, version: latestVersion };
  const text = await rewritten(file, { ...facts, table });
  return text ?? withoutComments(file, { ...facts, table });
}

/** The text written anew; undefined when that would not be the same configuration. */
async function rewritten(file: ParsedFile, migrated: Migrated): Promise<string | undefined> {
  const { ParseError } = await import("toml-eslint-parser");
  try {
    const moved = [...migrated.origins].flatMap(([to, from]) => [JSON.parse(to) as KeyPath, from]);
    const opened = [...moved, ...migrated.dropped.map(({ path }) => path)];
    const source = readTomlSource(file.text, (path) => opened.some((other) => isBelow(other, path)));
    const text = new Rewriter(file.table, migrated).write(source);
    const { parse } = await import("smol-toml");
    return isDeepStrictEqual(plain(parse(text)), plain(migrated.table)) ? text : undefined;
  } catch (error) {
    // The parser that keeps comments is stricter than the one that reads values.
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

function withoutComments({ table }: ParsedFile, { dropped, table: migrated }: Migrated): string {
  const lines = ["# The comments of the older file could not be kept."];
  for (const one of dropped) lines.push(...droppedLines(one, table));
  return `${lines.join("\n")}\n${printConfig(migrated)}`;
}

/** One table of the new text. */
interface Group {
  readonly path: KeyPath;
  readonly above: string[];
  behind: string | undefined;
  readonly lines: string[];
  /** Whether the text must name the table although nothing is in it. */
  isEmptyTable: boolean;
}

class Rewriter {
  readonly #original: Table;
  readonly #migrated: Migrated;
  readonly #groups: Map<string, Group> = new Map();
  readonly #told: Set<DroppedValue> = new Set();
  /** Comments that wait for the next statement. */
  #pending: string[] = [];
  /** Whether the last of them is about a value that has no place any more. */
  #isAboutDropped = false;

  constructor(original: Table, migrated: Migrated) {
    this.#original = original;
    this.#migrated = migrated;
  }

  write({ statements, rest }: TomlSource): string {
    const [first, ...others] = statements;
    if (first === undefined) this.#group([]).lines.push(`version = ${latestVersion}`);
    for (const statement of first === undefined ? [] : [this.#addVersion(first), ...others]) {
      if (statement.kind === "header") this.#addHeader(statement);
      else this.#addValue(statement);
    }
    const lines = [...this.#groups.values()].flatMap((group) => linesOf(group));
    lines.push(...this.#pending, ...rest);
    return `${lines.filter((line, index) => line !== "" || (index > 0 && lines[index - 1] !== "")).join("\n")}\n`;
  }

  /** Writes the version that the older file does not tell, behind the comments that are about the whole file. */
  #addVersion(first: Statement): Statement {
    const root = this.#group([]);
    if (valueAt(this.#original, ["version"]) !== undefined) return first;
    const end = first.above.lastIndexOf("") + 1;
    root.lines.push(...first.above.slice(0, end), `version = ${latestVersion}`);
    return { ...first, above: first.above.slice(end) };
  }

  #addHeader({ path, above, behind }: Statement): void {
    this.#await(above);
    const destination = destinationOf(this.#migrated, path);
    const value = valueAt(this.#migrated.table, destination);
    const isDropped = this.#tellOfDropped(path, true, "");
    if (isDropped || !isTable(value)) {
      if (behind !== undefined) this.#pending.push(behind);
      return;
    }
    const isEmpty = Object.keys(value).length === 0;
    const isElement = typeof destination.at(-1) === "number";
    // A table that holds only tables needs no header; its comments go to the first of them.
    const holdsOnlyTables = !isEmpty && Object.values(value).every(isTable);
    if (holdsOnlyTables && !isElement) {
      if (behind !== undefined) this.#pending.push(behind);
      return;
    }
    const group = this.#group(destination);
    group.isEmptyTable ||= isEmpty || isElement;
    group.behind ??= behind;
  }

  #addValue({ path, source, above, behind, within }: Statement): void {
    this.#await(above);
    const tail = behind === undefined ? "" : ` ${behind}`;
    if (path.length === 1 && path[0] === "version") {
      this.#group([]).lines.push(...this.#takePending(), `version = ${latestVersion}${tail}`);
      return;
    }
    if (this.#tellOfDropped(path, false, tail)) {
      this.#pending.push(...within);
      return;
    }
    const destination = destinationOf(this.#migrated, path);
    const value = valueAt(this.#migrated.table, destination);
    const isSame = isDeepStrictEqual(plain(value), plain(valueAt(this.#original, path)));
    const group = this.#group(destination.slice(0, -1));
    const key = formatKey(String(destination.at(-1)));
    group.lines.push(...this.#takePending(), ...(isSame ? [] : within));
    group.lines.push(`${key} = ${isSame ? source : printValue(value)}${tail}`);
    for (const one of this.#migrated.dropped) {
      if (isBelow(one.path, path)) this.#tell(one);
    }
  }

  #await(comments: readonly string[]): void {
    this.#pending.push(...comments);
    this.#isAboutDropped &&= comments.every((line) => line === "");
  }

  /** Writes down a value that has no place any more. */
  #tellOfDropped(path: KeyPath, isHeader: boolean, tail: string): boolean {
    const dropped = this.#migrated.dropped.find((one) => startsWith(path, one.path));
    if (dropped === undefined) return false;
    if (isHeader && !isEmptyTable(valueAt(this.#original, path))) return true;
    this.#tell(dropped, path, tail);
    return true;
  }

  #tell(dropped: DroppedValue, path: KeyPath = dropped.path, tail = ""): void {
    const [reason = "", ...values] = droppedLines({ ...dropped, path }, this.#original);
    const last = this.#pending.findLast((line) => line.startsWith(reasonMark));
    if (!this.#told.has(dropped) && last !== reason) this.#pending.push(reason);
    this.#told.add(dropped);
    this.#pending.push(...values.map((line) => `${line}${tail}`));
    this.#isAboutDropped = true;
  }

  /** The group of a table; one that is new gets the comments that wait. */
  #group(path: KeyPath): Group {
    const key = JSON.stringify(path);
    let group = this.#groups.get(key);
    if (group === undefined) {
      // What is gone is not about the table that follows.
      if (this.#isAboutDropped) this.#pending.push("");
      const above = path.length === 0 ? [] : this.#takePending();
      group = { path, above, behind: undefined, lines: [], isEmptyTable: false };
      this.#groups.set(key, group);
    }
    return group;
  }

  #takePending(): string[] {
    this.#isAboutDropped = false;
    return this.#pending.splice(0);
  }
}

function linesOf({ path, above, behind, lines, isEmptyTable: isEmpty }: Group): string[] {
  if (path.length === 0) return lines;
  if (lines.length === 0 && !isEmpty) return above;
  const isElement = typeof path.at(-1) === "number";
  const name = formatKeyPath(path.filter((part) => typeof part === "string"));
  const header = isElement ? `[[${name}]]` : `[${name}]`;
  return ["", ...above, behind === undefined ? header : `${header} ${behind}`, ...lines];
}

const reasonMark = "# Not in the newest layout: ";

/** The reason, then the value as a comment. */
function droppedLines({ path, reason }: DroppedValue, original: Table): string[] {
  const value = valueAt(original, path);
  const isWhole = !isTable(value) || Object.keys(value).length === 0;
  const lines = isWhole
    ? [`# ${formatKeyPath(path)} = ${printValue(value)}`]
    : Object.keys(value).flatMap((key) =>
        droppedLines({ path: [...path, key], reason, isQuiet: true }, original).slice(1),
      );
  return [`${reasonMark}${reason}`, ...lines];
}

function isBelow(path: KeyPath, prefix: KeyPath): boolean {
  return path.length > prefix.length && startsWith(path, prefix);
}

function isEmptyTable(value: unknown): boolean {
  return isTable(value) && Object.keys(value).length === 0;
}

/** Without prototypes in the way of a comparison. */
function plain(value: unknown): unknown {
  return structuredClone(value);
}
