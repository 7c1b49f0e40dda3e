import { EventsDefinition } from "@ctrd/api/services/events/v1/events";
import type { Envelope, EventService } from "@ctrd/core/events";
import type { RpcChannel } from "../rpc/index.ts";

/**
 * The event service behind an Events service. A subscription is on its way to the server when `subscribe` returns, so
 * what is published later over the same channel is in it. A containerd passes over a replay.
 */
export function proxyEvents(channel: RpcChannel): EventService {
  const client = channel.client(EventsDefinition);
  return {
    async publish(ctx, topic, event) {
      await client.publish(ctx, { topic, event });
    },
    async forward(ctx, envelope) {
      await client.forward(ctx, { envelope });
    },
    subscribe: (ctx, filters, replay) =>
      untilAborted(ctx.signal, client.subscribe(ctx, { filters: [...filters], ...replay })),
  };
}

/** For a subscriber its own cancellation is an end, not an error. */
async function* untilAborted(signal: AbortSignal, envelopes: AsyncIterable<Envelope>): AsyncGenerator<Envelope> {
  try {
    yield* envelopes;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
