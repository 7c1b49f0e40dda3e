import type { AST } from "toml-eslint-parser";
import { parseTOML } from "toml-eslint-parser";
import type { KeyPath } from "./key-path.ts";

/** A statement of a TOML text with the comments that belong to it. */
export interface Statement {
  readonly kind: "header" | "value";
  /** The table that a header opens, or the key that is set. */
  readonly path: KeyPath;
  /** The value as it is written; empty for a header. */
  readonly source: string;
  /** Comment lines above it; empty strings are blank lines. */
  readonly above: readonly string[];
  /** Comment behind it. */
  readonly behind: string | undefined;
  /** Comments within the value. */
  readonly within: readonly string[];
}

/** A TOML text taken apart. */
export interface TomlSource {
  readonly statements: readonly Statement[];
  /** Comment lines behind the last statement. */
  readonly rest: readonly string[];
}

/**
 * Takes a text apart so that it can be written again in another order. Dotted keys and, where `isOpened` says so,
 * inline tables become statements of their own.
 *
 * @throws ParseError where this parser is stricter than the one that reads values
 */
export function readTomlSource(text: string, isOpened: (path: KeyPath) => boolean): TomlSource {
  const program = parseTOML(text);
  const reader = new Reader(text, program.comments, isOpened);
  for (const entry of program.body[0].body) {
    if (entry.type === "TOMLKeyValue") reader.add([], entry);
    else reader.addTable(entry);
  }
  return { statements: reader.statements, rest: reader.takeCommentsBefore(text.length, Infinity) };
}

class Reader {
  readonly statements: Statement[] = [];
  readonly #text: string;
  readonly #comments: readonly AST.Comment[];
  readonly #isOpened: (path: KeyPath) => boolean;
  #nextComment = 0;
  /** Line on which what was read last ends. */
  #lastLine = 0;

  constructor(text: string, comments: readonly AST.Comment[], isOpened: (path: KeyPath) => boolean) {
    this.#text = text;
    this.#comments = comments;
    this.#isOpened = isOpened;
  }

  addTable(table: AST.TOMLTable): void {
    const above = this.takeCommentsBefore(table.range[0], table.loc.start.line);
    const { line } = table.key.loc.end;
    const behind = this.#takeBehind(line);
    this.statements.push({ kind: "header", path: table.resolvedKey, source: "", above, behind, within: [] });
    for (const entry of table.body) this.add(table.resolvedKey, entry);
  }

  add(base: KeyPath, entry: AST.TOMLKeyValue): void {
    const keys = entry.key.keys.map((key) => (key.type === "TOMLBare" ? key.name : key.value));
    const path = [...base, ...keys];
    if (entry.value.type === "TOMLInlineTable" && entry.value.body.length > 0 && this.#isOpened(path)) {
      for (const inner of entry.value.body) this.add(path, inner);
      return;
    }
    const above = this.takeCommentsBefore(entry.range[0], entry.loc.start.line);
    const [start, end] = entry.value.range;
    const within = this.#takeUntil(end).map((comment) => `#${comment.value}`);
    this.#lastLine = entry.value.loc.end.line;
    const behind = this.#takeBehind(this.#lastLine);
    this.statements.push({ kind: "value", path, source: this.#text.slice(start, end), above, behind, within });
  }

  /** Comments above a position, with the blank lines between and behind them. */
  takeCommentsBefore(offset: number, line: number): string[] {
    const lines: string[] = [];
    for (const comment of this.#takeUntil(offset)) {
      if (comment.loc.start.line > this.#lastLine + 1) lines.push("");
      lines.push(`#${comment.value}`);
      this.#lastLine = comment.loc.end.line;
    }
    if (Number.isFinite(line) && line > this.#lastLine + 1 && this.#lastLine > 0) lines.push("");
    if (Number.isFinite(line)) this.#lastLine = line;
    return lines;
  }

  #takeUntil(offset: number): AST.Comment[] {
    const taken: AST.Comment[] = [];
    for (let next = this.#comments[this.#nextComment]; next !== undefined && next.range[0] < offset;) {
      taken.push(next);
      next = this.#comments[++this.#nextComment];
    }
    return taken;
  }

  #takeBehind(line: number): string | undefined {
    const next = this.#comments[this.#nextComment];
    if (next?.loc.start.line !== line) return undefined;
    this.#nextComment++;
    return `#${next.value}`;
  }
}
