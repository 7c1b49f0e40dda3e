import type { Envelope } from "@ctrd/core/events";
import { crc32 } from "node:zlib";

/** Events that are remembered: a shim has at most 2048 on their way, and sends few of them again. */
const remembered = 2048;

/**
 * Knows events that are sent once more. A shim that got no answer, because the daemon was killed before it could give
 * one, sends the same event again: same bytes, and the same nanosecond.
 */
export class ResentEvents {
  readonly #seen = new Set<string>();

  /** @param past events that came before */
  constructor(past: readonly Envelope[]) {
    for (const envelope of past) this.isResent(envelope);
  }

  /** Whether an event came before; from then on it did. */
  isResent({ timestamp, namespace, topic, event }: Envelope): boolean {
    const value = event?.value ?? new Uint8Array();
    const time = `${timestamp?.seconds}.${timestamp?.nanos}`;
    const key = `${time} ${namespace} ${topic} ${event?.typeUrl} ${value.length} ${crc32(value)}`;
    if (this.#seen.has(key)) return true;
    this.#seen.add(key);
    if (this.#seen.size <= remembered) return false;
    const [oldest = ""] = this.#seen;
    return this.#seen.delete(oldest) && false;
  }
}
