import type { Writable } from "node:stream";
import { canceled } from "@ctrd/core/errors";

/** Messages that may be on their way at once: one in the socket, one ready to follow. */
const maxInFlight = 2;

/**
 * Writes messages to a gRPC stream with back-pressure: the returned function resolves when the stream can take
 * another message. At most two messages wait in memory.
 *
 * @throws ContainerdError `canceled` once the stream is closed
 */
export function createSender<T>(stream: Writable): (message: T) => Promise<void> {
  let inFlight = 0;
  let closed = false;
  let wakers: (() => void)[] = [];
  const wake = (): void => {
    const waiting = wakers;
    wakers = [];
    for (const waker of waiting) waker();
  };
  const sent = (): void => {
    inFlight--;
    wake();
  };
  // The write callback of a call that ends early never comes, so closing wakes the writer too.
  stream.once("close", () => {
    closed = true;
    wake();
  });
  return async (message) => {
    if (closed || stream.destroyed) throw canceled("send a message: the stream is closed");
    inFlight++;
    stream.write(message, sent);
    while (inFlight >= maxInFlight && !closed) await new Promise<void>((resolve) => wakers.push(resolve));
  };
}
