/**
 * What both kinds of connection do at their ends, and with answers that the protocol itself asks for.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { ReadGate } from "./channel-stream.ts";

/** How long a client may take to close after us. */
const lingerMs = 5_000;

/**
 * Ends our direction and waits for the client to close. Closing at once could make its kernel throw away what it has not
 * read yet.
 */
export async function endConnection(socket: Duplex, closed: Promise<void>): Promise<void> {
  const over = new AbortController();
  socket.end();
  socket.resume();
  // Aborted: the client was in time.
  await Promise.race([closed, sleep(lingerMs, undefined, { signal: over.signal }).catch(() => {})]);
  over.abort();
  socket.destroy();
}

/** Answers beyond this wait in memory only if the client reads none of them. */
const maxBacklog = 64 * 1024;

/**
 * Answers to what a client may send at any rate, as pings. One that sends them and reads nothing is not read any more, so
 * they do not pile up.
 */
export class ReplyBacklog {
  readonly #socket: Duplex;
  readonly #gate: ReadGate;
  #bytes = 0;

  constructor(socket: Duplex, gate: ReadGate) {
    this.#socket = socket;
    this.#gate = gate;
  }

  write(reply: Buffer): void {
    if (!this.#socket.writable) return;
    this.#bytes += reply.length;
    if (this.#bytes > maxBacklog) this.#gate.set("unread answers", true);
    this.#socket.write(reply, () => {
      this.#bytes -= reply.length;
      if (this.#bytes <= maxBacklog / 2) this.#gate.set("unread answers", false);
    });
  }
}
