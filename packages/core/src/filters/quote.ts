/** Why a quoted string cannot be read; `offset` counts from its first character after the quote. */
export interface QuoteError {
  message: string;
  offset: number;
}

const simpleEscapes: ReadonlyMap<string, number> = new Map([
  ["a", 0x07],
  ["b", 0x08],
  ["f", 0x0c],
  ["n", 0x0a],
  ["r", 0x0d],
  ["t", 0x09],
  ["v", 0x0b],
  ["\\", 0x5c],
]);

/** Digits after `\x`, `\u`, `\U`. */
const hexEscapes: ReadonlyMap<string, number> = new Map([
  ["x", 2],
  ["u", 4],
  ["U", 8],
]);

interface Escape {
  /** The bytes it stands for, or the text. */
  value: number[] | string;
  /** Characters it takes, with the backslash. */
  length: number;
}

/**
 * Resolves the escapes of a Go string literal.
 *
 * In `/…/` and `|…|`, which hold regular expressions, a backslash before anything that Go does not know stays: `/\d/`
 * may be written without doubling it.
 *
 * @param body the text between the quotes
 */
export function unquoteGoString(body: string, quote: string): string | QuoteError {
  if (body.includes("\n")) return { message: "a string must not span lines; write \\n", offset: body.indexOf("\n") };
  if (!body.includes("\\")) return body;
  const chunks: Buffer[] = [];
  let index = 0;
  while (index < body.length) {
    const backslash = body.indexOf("\\", index);
    if (backslash < 0) {
      chunks.push(Buffer.from(body.slice(index)));
      break;
    }
    if (backslash > index) chunks.push(Buffer.from(body.slice(index, backslash)));
    const escape = readEscape(body, backslash, quote);
    if ("message" in escape) return escape;
    chunks.push(typeof escape.value === "string" ? Buffer.from(escape.value) : Buffer.from(escape.value));
    index = backslash + escape.length;
  }
  return Buffer.concat(chunks).toString("utf8");
}

function readEscape(body: string, offset: number, quote: string): Escape | QuoteError {
  const kind = body[offset + 1] ?? "";
  const simple = simpleEscapes.get(kind);
  if (simple !== undefined) return { value: [simple], length: 2 };
  if (kind === quote) return { value: quote, length: 2 };
  const digits = hexEscapes.get(kind);
  if (digits !== undefined) return readHex(body, offset, kind, digits);
  if (/[0-7]/.test(kind)) {
    const octal = /^[0-3][0-7]{2}/.exec(body.slice(offset + 1, offset + 4));
    if (octal !== null) return { value: [Number.parseInt(octal[0], 8)], length: 4 };
  }
  if (quote !== '"') return { value: "\\", length: 1 };
  return { message: `unknown escape \\${kind}`, offset };
}

function readHex(body: string, offset: number, kind: string, digits: number): Escape | QuoteError {
  const text = body.slice(offset + 2, offset + 2 + digits);
  if (text.length !== digits || !/^[0-9A-Fa-f]+$/.test(text)) {
    return { message: `\\${kind} needs ${digits} hexadecimal digits`, offset };
  }
  const code = Number.parseInt(text, 16);
  if (kind === "x") return { value: [code], length: 4 };
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    return { message: `\\${kind}${text} is not a character`, offset };
  }
  return { value: String.fromCodePoint(code), length: 2 + digits };
}
