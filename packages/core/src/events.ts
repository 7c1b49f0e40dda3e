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
}

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
   * @throws `invalid-argument` for a malformed filter
   */
  subscribe(ctx: CallContext, filters: readonly string[]): AsyncIterable<Envelope>;
}
