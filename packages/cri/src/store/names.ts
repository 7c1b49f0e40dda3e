/**
 * Reserved names: a pod or container with a name exists once, from the first step of its making on.
 *
 * @module
 */
import { formatGoDuration } from "@ctrd/core/durations";
import { alreadyExists } from "@ctrd/core/errors";

/** A name that is held. */
export interface Reservation {
  readonly name: string;
  readonly holder: string;
  /** What the holder is doing now; told to whoever wants the name. */
  stage: string;
}

interface Held extends Reservation {
  readonly since: number;
}

/** Names and who holds them. */
export class Names {
  readonly #what: string;
  readonly #byName = new Map<string, Held>();
  readonly #byHolder = new Map<string, Held>();

  /** @param what of what they are names, for messages */
  constructor(what: string) {
    this.#what = what;
  }

  /** @throws ContainerdError `already-exists` naming the holder, what it is doing, and since when */
  reserve(name: string, holder: string, stage: string): Reservation {
    const held = this.#byName.get(name);
    if (held !== undefined && held.holder !== holder) {
      const age = formatGoDuration(Math.round((Date.now() - held.since) / 100) * 100);
      throw alreadyExists(
        `${this.#what} name "${name}" is reserved for "${held.holder}" (stage: ${held.stage}, since ${age}); ` +
          "wait for it, or remove it first",
      );
    }
    const made: Held = held ?? { name, holder, stage, since: Date.now() };
    this.#byName.set(name, made);
    this.#byHolder.set(holder, made);
    return made;
  }

  /** Frees the name that `holder` has, if it has one. */
  release(holder: string): void {
    const held = this.#byHolder.get(holder);
    if (held === undefined) return;
    this.#byHolder.delete(holder);
    this.#byName.delete(held.name);
  }
}
