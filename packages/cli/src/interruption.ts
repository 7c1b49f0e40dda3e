import { canceled } from "@ctrd/core/errors";
import { interruptedExitCode } from "./failure.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Aborts at the first SIGINT, SIGTERM or SIGHUP; the second ends the program. */
export class Interruption {
  readonly #controller: AbortController = new AbortController();

  constructor() {
    for (const name of signals) process.on(name, this.#interrupt);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From now on signals do what they did before. */
  release(): void {
    for (const name of signals) process.off(name, this.#interrupt);
  }

  readonly #interrupt = (): void => {
    if (this.#controller.signal.aborted) process.exit(interruptedExitCode);
    this.#controller.abort(canceled("interrupted"));
  };
}
