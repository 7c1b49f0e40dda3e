/**
 * Facts with the moment at which they were acknowledged.
 */
import { Ledger } from "@ctrd/testkit/faults";
import type { LogEntry } from "./write-log.ts";

interface Event {
  readonly what: string;
  /** Absent when the fact became uncertain. */
  readonly check?: () => Promise<void>;
}

/** A ledger that puts a mark into the log of the disk for each of its changes. */
export class RecordingLedger extends Ledger {
  readonly #events: Event[] = [];
  readonly #mark: (text: string) => void;

  constructor(mark: (text: string) => void) {
    super();
    this.#mark = mark;
  }

  override acknowledged(what: string, check: () => Promise<void>): void {
    super.acknowledged(what, check);
    this.#record({ what, check });
  }

  override uncertain(what: string): void {
    super.uncertain(what);
    this.#record({ what });
  }

  /** What must be true when the power goes after the first `at` entries of the log. */
  at(entries: readonly LogEntry[], at: number): Ledger {
    const ledger = new Ledger();
    for (const entry of entries.slice(0, at)) {
      const event = entry.kind === "mark" ? this.#events[Number(entry.text)] : undefined;
      if (event?.check !== undefined) ledger.acknowledged(event.what, event.check);
      else if (event !== undefined) ledger.uncertain(event.what);
    }
    return ledger;
  }

  /** The change may reach the disk at once, so the mark comes after an answer and before a request. */
  #record(event: Event): void {
    this.#events.push(event);
    this.#mark(String(this.#events.length - 1));
  }
}
