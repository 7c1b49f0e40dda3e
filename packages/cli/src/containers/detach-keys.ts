/**
 * The keys that leave a container running.
 *
 * @module
 */
import { Transform } from "node:stream";
import type { TransformCallback } from "node:stream";
import { CommandFailure } from "../failure.ts";

/** Docker's. */
export const defaultDetachKeys = "ctrl-p,ctrl-q";

/** Reads keys as Docker writes them: letters, or `ctrl-` with a letter or one of `@[\]^_`, with commas between. */
export function parseDetachKeys(text: string): number[] {
  if (text === "") return [];
  return text.split(",").map((key) => {
    const [, control] = /^ctrl-([a-z@[\\\]^_])$/i.exec(key) ?? [];
    if (control !== undefined) return control.toUpperCase().charCodeAt(0) & 0x1f;
    if (key.length === 1) return key.charCodeAt(0);
    throw new CommandFailure(`--detach-keys: "${key}" is not a key such as a or ctrl-a`);
  });
}

/** Passes input on, and tells when the keys were pressed one after the other; those are kept back. */
export class DetachFilter extends Transform {
  readonly #keys: readonly number[];
  readonly #onDetach: () => void;
  #matched = 0;

  constructor(keys: readonly number[], onDetach: () => void) {
    super();
    [this.#keys, this.#onDetach] = [keys, onDetach];
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const passed: number[] = [];
    for (const byte of chunk) {
      if (this.#keys.length > 0 && byte === this.#keys[this.#matched]) {
        if (++this.#matched < this.#keys.length) continue;
        this.#onDetach();
        done();
        return;
      }
      // What looked like the beginning was none; this byte may be one.
      passed.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) passed.push(byte);
    }
    done(undefined, Buffer.from(passed));
  }
}
