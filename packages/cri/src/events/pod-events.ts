/**
 * What becomes of pods and containers, for `GetContainerEvents`.
 *
 * @module
 */
import type { ContainerEventResponse } from "@ctrd/api/cri/runtime/v1/api";
import { resourceExhausted } from "@ctrd/core/errors";

/** How long events are told to who comes later, and how many of them at most. */
const replayNanos = 5n * 60n * 1_000_000_000n;
const maxReplayed = 10_000;
/** How far a reader may fall behind. */
const maxWaiting = 10_000;

interface Reader {
  readonly waiting: ContainerEventResponse[];
  wake: () => void;
  isBehind: boolean;
}

/** Hands events to every reader; those of the last five minutes also to a new one. */
export class PodEvents {
  readonly #recent: ContainerEventResponse[] = [];
  readonly #readers = new Set<Reader>();

  publish(event: ContainerEventResponse): void {
    this.#recent.push(event);
    const oldest = event.createdAt - replayNanos;
    const fresh = this.#recent.findIndex(({ createdAt }) => createdAt >= oldest);
    const surplus = this.#recent.length - maxReplayed;
    if (fresh > 0 || surplus > 0) this.#recent.splice(0, Math.max(fresh, surplus));
    for (const reader of this.#readers) {
      if (reader.waiting.length >= maxWaiting) reader.isBehind = true;
      else reader.waiting.push(event);
      reader.wake();
    }
  }

  /**
   * Events of the last five minutes, and from now on until `signal` aborts.
   *
   * @throws ContainerdError `resource-exhausted` when the reader is too slow
   */
  async *subscribe(signal: AbortSignal): AsyncGenerator<ContainerEventResponse> {
    const reader: Reader = { waiting: [...this.#recent], wake: () => {}, isBehind: false };
    this.#readers.add(reader);
    const leave = (): void => reader.wake();
    signal.addEventListener("abort", leave);
    try {
      while (!signal.aborted) {
        const event = reader.waiting.shift();
        if (event !== undefined) {
          yield event;
          continue;
        }
        if (reader.isBehind) {
          throw resourceExhausted(`container events: the reader is more than ${maxWaiting} events behind`);
        }
        await new Promise<void>((resolve) => {
          reader.wake = resolve;
          if (signal.aborted) resolve();
        });
      }
    } finally {
      signal.removeEventListener("abort", leave);
      this.#readers.delete(reader);
    }
  }
}
