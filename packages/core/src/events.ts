/**
 * Events: publish, forward, subscribe.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Any, Timestamp } from "./records.ts";

/** Plugins of this type are event services; the exchange has id `exchange`. */
export const EventPlugin: PluginType<EventService> = pluginType("io.containerd.event.v1");

/** An event on its way. */
export interface Envelope {
  timestamp: Timestamp | undefined;
  namespace: string;
  topic: string;
  event: Any | undefined;
  /**
   * Where it stands among the events of its daemon: grows from event to event, also over restarts. The service gives it;
   * containerd's events have none.
   */
  sequence?: bigint | undefined;
}

/** Which events of the past a subscription begins with, and where it ends. */
export interface EventReplay {
  /** Begin with the kept events that are not older. */
  readonly since?: Timestamp | undefined;
  /** Begin with the event that follows the one of this sequence. With both, the later of the two counts. */
  readonly after?: bigint | undefined;
  /** End with the last event that is not younger. */
  readonly until?: Timestamp | undefined;
}

/**
 * Topic of the event that stands in a replay where events are missing: they were removed from the history, or could not
 * be written. It passes every filter, has no namespace, and carries a `ctrd.events.EventsLost`.
 */
export const lostEventsTopic = "/ctrd/events/lost";

export interface EventPublisher {
  /** Publishes in the namespace of `ctx`, with the current time. @throws `invalid-argument` for a malformed topic */
  publish(ctx: CallContext, topic: string, event: Any): Promise<void>;
}

export interface EventService extends EventPublisher {
  /** Passes on a whole envelope. @throws `invalid-argument` when namespace, topic or timestamp are missing */
  forward(ctx: CallContext, envelope: Envelope): Promise<void>;
  /**
   * Envelopes of every namespace that match any of `filters`, from the call on. Registration has happened when the
   * function returns. Ends when `ctx.signal` aborts.
   *
   * @param replay events of the past that come first; between them and what is published then none is missing, and none
   * comes twice. Services without a history may pass over it.
   * @throws `invalid-argument` for a malformed filter, `failed-precondition` for a replay when no history is kept,
   * `resource-exhausted` while iterating when the reader is too far behind
   */
  subscribe(ctx: CallContext, filters: readonly string[], replay?: EventReplay): AsyncIterable<Envelope>;
}
