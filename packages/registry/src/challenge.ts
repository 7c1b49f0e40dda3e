/**
 * `WWW-Authenticate`: how a host wants to be asked.
 *
 * @module
 */

/** One challenge; parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const tokenCharacters = /[!#$%&'*+\-.^_`|~\w]/;
const longest = 16 << 10;

/** Parses one header value or several. What is malformed ends its value; what came before it counts. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const values = header === undefined ? [] : typeof header === "string" ? [header] : header;
  return values.flatMap((value) => new Parser(value.slice(0, longest)).challenges());
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  challenges(): Challenge[] {
    const found: { scheme: string; parameters: Map<string, string> }[] = [];
    for (;;) {
      this.#skip(", \t");
      const word = this.#token();
      if (word === "") return found;
      this.#skip(" \t");
      const current = found.at(-1);
      if (this.#text[this.#at] !== "=" || current === undefined) {
        found.push({ scheme: word.toLowerCase(), parameters: new Map() });
        continue;
      }
      this.#at++;
      this.#skip(" \t");
      const value = this.#text[this.#at] === '"' ? this.#quoted() : this.#token();
      current.parameters.set(word.toLowerCase(), value);
    }
  }

  #skip(characters: string): void {
    while (this.#at < this.#text.length && characters.includes(this.#text[this.#at] ?? "")) this.#at++;
  }

  #token(): string {
    const start = this.#at;
    while (this.#at < this.#text.length && tokenCharacters.test(this.#text[this.#at] ?? "")) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  #quoted(): string {
    let value = "";
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at] ?? "";
      if (character === '"') {
        this.#at++;
        break;
      }
      if (character === "\\") this.#at++;
      value += this.#text[this.#at] ?? "";
    }
    return value;
  }
}
