/**
 * The making of something in stages, each of which can be undone.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { ContainerdError, kindOf, messageOf } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Logger } from "@ctrd/core/log";
import type { Operation } from "@ctrd/core/operations";
import type { Span } from "@ctrd/core/tracing";
import type { Reservation } from "./names.ts";

/** An undo step. */
interface Undo {
  readonly stage: string;
  readonly undo: () => Promise<unknown>;
}

/** Stages of one call. An error names the stage in which it came. */
export class Stages {
  readonly #what: string;
  readonly #signal: AbortSignal;
  readonly #reservation: Reservation;
  readonly #span: Span | undefined;
  readonly #operation: Operation | undefined;
  readonly #undos: Undo[] = [];

  /** @param what object and operation, for messages */
  constructor(what: string, ctx: CallContext, reservation: Reservation) {
    [this.#what, this.#signal, this.#reservation, this.#span] = [what, ctx.signal, reservation, ctx.span];
    this.#operation = ctx.operation;
  }

  /**
   * Runs one stage, unless the caller has given up.
   *
   * @param undo undoes the stage; called only when it was done
   */
  async run<T>(stage: string, body: () => Promise<T>, undo?: (made: T) => Promise<unknown>): Promise<T> {
    this.#reservation.stage = stage;
    const span = this.#span?.child(`cri ${stage}`);
    const leave = this.#operation?.enter(stage);
    try {
      this.#signal.throwIfAborted();
      FAILPOINT: if (failpoints.on) await failpoints.at("cri.stage");
      const made = await body();
      if (undo !== undefined) this.#undos.push({ stage, undo: () => undo(made) });
      span?.end();
      return made;
    } catch (error) {
      span?.end(error);
      throw this.#report(stage, error);
    } finally {
      leave?.();
    }
  }

  /** Throws when the caller has given up. */
  check(): void {
    if (this.#signal.aborted) throw this.#report(this.#reservation.stage, this.#signal.reason);
  }

  /**
   * Undoes what was done, the last first. A step that fails does not keep the others from being done.
   *
   * @returns whether all steps worked
   */
  async undo(log: Logger): Promise<boolean> {
    let clean = true;
    for (const { stage, undo } of this.#undos.splice(0).toReversed()) {
      this.#reservation.stage = `undo ${stage}`;
      try {
        await undo();
      } catch (error) {
        clean = false;
        log.error({ what: this.#what, stage, err: messageOf(error) }, "cannot undo a stage");
      }
    }
    return clean;
  }

  #report(stage: string, error: unknown): ContainerdError {
    const text = messageOf(error);
    return new ContainerdError(kindOf(error), `${this.#what}: ${stage}: ${text}`, { cause: error });
  }
}
