import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { invalidArgument } from "@ctrd/core/errors";
import type { Envelope, EventService } from "@ctrd/core/events";
import { failpoints } from "@ctrd/core/failpoints";
import type { FieldAdaptor } from "@ctrd/core/filters";
import { compileFilters } from "@ctrd/core/filters";
import { checkIdentifier } from "@ctrd/core/identifiers";
import type { Any } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import { eventAdaptor } from "./event-fields.ts";
import type { SubscriptionLimits } from "./subscription.ts";
import { Subscription } from "./subscription.ts";
import { checkTopic } from "./topic.ts";

/** An event service inside this process. */
export interface EventExchange extends EventService {
  /** Ends every subscription. */
  close(): void;
}

/** Default limits of a subscriber: enough for the burst of a node that starts, small enough for a dead client. */
export const defaultLimits: SubscriptionLimits = { maxEvents: 65_536, maxBytes: 64 << 20 };

/** Makes an event exchange: what is published goes to every subscriber whose filters match, in order. */
export function createEventExchange(limits: SubscriptionLimits = defaultLimits): EventExchange {
  const subscribers = new Map<Subscription, (fields: FieldAdaptor) => boolean>();

  function deliver(envelope: Envelope): void {
    const fields = envelopeAdaptor(envelope);
    for (const [subscription, matches] of subscribers) if (matches(fields)) subscription.push(envelope);
  }

  return {
    async publish(ctx: CallContext, topic: string, event: Any) {
      const namespace = requireNamespace(ctx);
      checkTopic(topic);
      FAILPOINT: if (failpoints.on) await failpoints.at("events.publish");
      deliver({ timestamp: now(), namespace, topic, event });
    },
    async forward(_ctx: CallContext, envelope: Envelope) {
      checkIdentifier("namespace of a forwarded event", envelope.namespace);
      checkTopic(envelope.topic);
      if (envelope.timestamp === undefined) {
        throw invalidArgument(`forwarded event "${envelope.topic}" must have a timestamp`);
      }
      deliver(envelope);
    },
    subscribe(ctx: CallContext, filters: readonly string[]) {
      const matches = compileFilters(filters);
      const end = (): void => subscription.end();
      const subscription = new Subscription(limits, (ended) => {
        subscribers.delete(ended);
        ctx.signal.removeEventListener("abort", end);
      });
      subscribers.set(subscription, matches);
      ctx.signal.addEventListener("abort", end, { once: true });
      if (ctx.signal.aborted) end();
      return subscription;
    },
    close() {
      for (const subscription of [...subscribers.keys()]) subscription.end();
    },
  };
}

/** Fields `namespace`, `topic` and `event.<field>`. */
function envelopeAdaptor(envelope: Envelope): FieldAdaptor {
  const event = eventAdaptor(envelope.event);
  return (path) => {
    switch (path[0]) {
      case "namespace":
        return { value: envelope.namespace, present: envelope.namespace !== "" };
      case "topic":
        return { value: envelope.topic, present: envelope.topic !== "" };
      case "event":
        return event(path.slice(1));
      default:
        return { value: "", present: false };
    }
  };
}
