/** Following the daemon's events for as long as it runs. */
import type { Client } from "@ctrd/client";
import { messageOf } from "@ctrd/core/errors";
import type { Envelope } from "@ctrd/core/events";
import type { Logger } from "@ctrd/core/log";
import { setTimeout as sleep } from "node:timers/promises";

/** Time before another subscription: one that ends at once must not keep the event loop busy. */
const pauseMs = 100;

/**
 * Calls `handle` with every event that matches, one after the other, until the client is closed. What it throws is
 * logged.
 *
 * @param restarted called when events may have been missed
 */
export function followEvents(
  client: Client,
  log: Logger,
  filter: string,
  handle: (envelope: Envelope) => Promise<void>,
  restarted: () => Promise<void> = async () => {},
): void {
  const { signal } = client.context();
  const logged = async (what: string, body: () => Promise<void>): Promise<void> => {
    try {
      await body();
    } catch (error) {
      if (!signal.aborted) log.error({ filter, err: messageOf(error) }, what);
    }
  };
  const follow = async (): Promise<void> => {
    for (let round = 0; !signal.aborted; round++) {
      // Subscribed before anything is looked at again.
      const events = client.subscribe([filter]);
      if (round > 0) await logged("state not read again", restarted);
      await logged("events lost, subscribed again", async () => {
        for await (const envelope of events) await logged("event not handled", () => handle(envelope));
      });
      // Rejected by the end of the client only.
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {});
    }
  };
  void follow();
}
