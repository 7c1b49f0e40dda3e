import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { Envelope, EventReplay, EventService } from "@ctrd/core/events";
import { failpoints } from "@ctrd/core/failpoints";
import type { FieldAdaptor } from "@ctrd/core/filters";
import { compileFilters } from "@ctrd/core/filters";
import { checkIdentifier } from "@ctrd/core/identifiers";
import type { Any } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import { eventAdaptor } from "./event-fields.ts";
import type { EventHistory } from "./history/history.ts";
import { beginsInThePast, replayed, until } from "./replay.ts";
import { ResentEvents } from "./resent.ts";
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

type Matcher = (fields: FieldAdaptor) => boolean;

/** Who gets what is published, in order. */
class Subscribers {
  readonly #matchers = new Map<Subscription, Matcher>();
  readonly #limits: SubscriptionLimits;
  #closed = false;

  constructor(limits: SubscriptionLimits) {
    this.#limits = limits;
  }

  deliver(envelope: Envelope): void {
    if (this.#matchers.size === 0) return;
    const fields = envelopeAdaptor(envelope);
    for (const [subscription, matches] of this.#matchers) if (matches(fields)) subscription.push(envelope);
  }

  add(ctx: CallContext, matches: Matcher): Subscription {
    const end = (): void => subscription.end();
    const subscription = new Subscription(this.#limits, (ended) => {
      this.#matchers.delete(ended);
      ctx.signal.removeEventListener("abort", end);
    });
    this.#matchers.set(subscription, matches);
    ctx.signal.addEventListener("abort", end, { once: true });
    if (ctx.signal.aborted || this.#closed) end();
    return subscription;
  }

  close(): void {
    this.#closed = true;
    for (const subscription of [...this.#matchers.keys()]) subscription.end();
  }
}

/**
 * Makes an event exchange: what is published goes to every subscriber whose filters match, in order.
 *
 * @param history keeps events for subscriptions that begin in the past
 */
export function createEventExchange(limits: SubscriptionLimits = defaultLimits, history?: EventHistory): EventExchange {
  const subscribers = new Subscribers(limits);
  const resent = new ResentEvents(history?.recent ?? []);

  /** The promise waits for the disk. */
  function deliver(envelope: Envelope, urgent: boolean): Promise<void> | undefined {
    const kept = history?.append(envelope, urgent);
    subscribers.deliver(kept?.numbered ?? envelope);
    return kept?.written;
  }

  return {
    async publish(ctx: CallContext, topic: string, event: Any) {
      const namespace = requireNamespace(ctx);
      checkTopic(topic);
      FAILPOINT: if (failpoints.on) await failpoints.at("events.publish");
      // Whoever publishes has done what it tells of, and need not wait.
      void deliver({ timestamp: now(), namespace, topic, event }, false);
    },
    async forward(_ctx: CallContext, envelope: Envelope) {
      checkIdentifier("namespace of a forwarded event", envelope.namespace);
      checkTopic(envelope.topic);
      if (envelope.timestamp === undefined) {
        throw invalidArgument(`forwarded event "${envelope.topic}" must have a timestamp`);
      }
      if (resent.isResent(envelope)) return;
      const { timestamp, namespace, topic, event } = envelope;
      // A shim that gets no answer sends it again: to the next daemon when this one is killed before it is kept.
      await deliver({ timestamp, namespace, topic, event }, true);
    },
    subscribe(ctx: CallContext, filters: readonly string[], replay: EventReplay = {}) {
      const matches = compileFilters(filters);
      if (beginsInThePast(replay)) {
        const follow = (): Subscription => subscribers.add(ctx, matches);
        return replayed(historyOf(history), ctx, replay, (envelope) => matches(envelopeAdaptor(envelope)), follow);
      }
      const subscription = subscribers.add(ctx, matches);
      return replay.until === undefined ? subscription : until(subscription, replay);
    },
    close: () => subscribers.close(),
  };
}

function historyOf(history: EventHistory | undefined): EventHistory {
  if (history !== undefined) return history;
  throw failedPrecondition(
    "subscribe to events of the past: this daemon keeps no history of events; " +
      'set history in [plugins."io.containerd.event.v1.exchange"]',
  );
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
