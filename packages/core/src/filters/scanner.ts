import type { ContainerdError } from "../errors.ts";
import { invalidArgument } from "../errors.ts";
import { unquoteGoString } from "./quote.ts";

const fieldCharacter = /[A-Za-z0-9_]/;
const space = /\s/u;
const operatorCharacter = /[=!~]/;
/** Letters, marks, numbers, punctuation and symbols; everything else is invisible or unassigned. */
const printable = /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u;

/** Cuts one filter string into the parts that the parser asks for. */
export class FilterScanner {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Whether only white space is left. */
  atEnd(): boolean {
    this.#skipSpace();
    return this.#position >= this.#text.length;
  }

  /** Consumes `character` if it is next. */
  accept(character: "," | "."): boolean {
    this.#skipSpace();
    if (this.#text[this.#position] !== character) return false;
    this.#position++;
    return true;
  }

  /** A part of a field path: an identifier or a quoted string. */
  field(): string {
    this.#skipSpace();
    if (this.#text[this.#position] === '"') return this.#quoted();
    const text = this.#takeWhile(fieldCharacter);
    if (text === "") throw this.error("expected a field name (letters, digits, _) or a quoted string");
    return text;
  }

  /** The operator, or an empty string when there is none. */
  operator(): string {
    this.#skipSpace();
    return this.#takeWhile(operatorCharacter);
  }

  /** A value; `/…/` and `|…|` are quotes only after `~=`. */
  value(slashQuotes: boolean): string {
    this.#skipSpace();
    const first = this.#text[this.#position];
    if (first === '"' || (slashQuotes && (first === "/" || first === "|"))) return this.#quoted();
    const start = this.#position;
    while (this.#position < this.#text.length) {
      const character = String.fromCodePoint(this.#text.codePointAt(this.#position) ?? 0);
      if (character === "," || !printable.test(character)) break;
      this.#position += character.length;
    }
    if (start === this.#position) throw this.error("expected a value");
    return this.#text.slice(start, this.#position);
  }

  /** A syntax error at the current position, or at `position`. */
  error(message: string, position: number = this.#position): ContainerdError {
    return invalidArgument(`filter ${quoteForMessage(this.#text)}, position ${position + 1}: ${message}`);
  }

  get position(): number {
    return this.#position;
  }

  #quoted(): string {
    const start = this.#position;
    const quote = this.#text[start] ?? "";
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== quote) end += this.#text[end] === "\\" ? 2 : 1;
    if (end >= this.#text.length) throw this.error(`the string that starts here has no closing ${quote}`, start);
    const result = unquoteGoString(this.#text.slice(start + 1, end), quote);
    if (typeof result !== "string") throw this.error(result.message, start + 1 + result.offset);
    this.#position = end + 1;
    return result;
  }

  #takeWhile(pattern: RegExp): string {
    const start = this.#position;
    while (this.#position < this.#text.length && pattern.test(this.#text[this.#position] ?? "")) this.#position++;
    return this.#text.slice(start, this.#position);
  }

  #skipSpace(): void {
    while (space.test(this.#text[this.#position] ?? "")) this.#position++;
  }
}

function quoteForMessage(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
