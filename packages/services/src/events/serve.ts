import { EventsDefinition } from "@ctrd/api/services/events/v1/events";
import type { EventService } from "@ctrd/core/events";
import { required } from "../required.ts";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves an event service as containerd's Events service. Headers of Subscribe mean that it is registered. */
export function serveEvents(events: EventService): BoundService {
  return bindService(EventsDefinition, {
    async publish(ctx, request) {
      await events.publish(ctx, request.topic, required(request.event, "event"));
      return {};
    },
    async forward(ctx, request) {
      await events.forward(ctx, required(request.envelope, "envelope"));
      return {};
    },
    subscribe(ctx, { filters, since, after, until }) {
      const replays = since !== undefined || after !== undefined || until !== undefined;
      return replays ? events.subscribe(ctx, filters, { since, after, until }) : events.subscribe(ctx, filters);
    },
  });
}
