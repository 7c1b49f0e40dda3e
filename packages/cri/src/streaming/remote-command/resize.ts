/**
 * Terminal sizes as clients tell them: JSON objects one after another.
 *
 * @module
 */
import type { Readable } from "node:stream";
import type { TerminalSize } from "../runtime.ts";

const maxObjectBytes = 1_024;

/** Reads sizes from the bytes of a resize stream, however they are cut. */
export class SizeReader {
  #text = "";
  #broken = false;

  /** Sizes that are complete with `chunk`. After something that is no size there are none any more. */
  read(chunk: Buffer): TerminalSize[] {
    const sizes: TerminalSize[] = [];
    if (this.#broken) return sizes;
    this.#text += chunk.toString("latin1");
    for (let end = this.#text.indexOf("}"); end !== -1; end = this.#text.indexOf("}")) {
      const size = parseSize(this.#text.slice(0, end + 1));
      this.#text = this.#text.slice(end + 1);
      if (size === undefined) this.#broken = true;
      if (size === undefined) return sizes;
      if (size.width > 0 && size.height > 0) sizes.push(size);
    }
    if (this.#text.length > maxObjectBytes) this.#broken = true;
    return sizes;
  }
}

function parseSize(text: string): TerminalSize | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Whatever it is, it is no size.
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields = new Map(Object.entries(value).map(([name, field]) => [name.toLowerCase(), field]));
  const [width, height] = [fields.get("width") ?? 0, fields.get("height") ?? 0];
  return isCells(width) && isCells(height) ? { width, height } : undefined;
}

function isCells(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff;
}

/** The sizes of one session. */
export class Resizes {
  #last: TerminalSize | undefined;
  readonly #listeners: ((size: TerminalSize) => void)[] = [];

  /** @param source absent when the client tells no sizes */
  constructor(source: Readable | undefined) {
    const reader = new SizeReader();
    source?.on("data", (chunk: Buffer) => {
      for (const size of reader.read(chunk)) this.#tell(size);
    });
  }

  listen(listener: (size: TerminalSize) => void): void {
    this.#listeners.push(listener);
    if (this.#last !== undefined) listener(this.#last);
  }

  #tell(size: TerminalSize): void {
    this.#last = size;
    for (const listener of this.#listeners) listener(size);
  }
}
