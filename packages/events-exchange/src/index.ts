/**
 * The event exchange: publish, forward and subscribe inside one process, and the durable history of what was published.
 *
 * ```ts
 * const events = createEventExchange();
 * const exits = events.subscribe(ctx, ['topic=="/tasks/exit",event.container_id==web']);
 * await events.publish(ctx, "/tasks/exit", protoAny("containerd.events.TaskExit", bytes));
 * ```
 *
 * @module
 */
export type { EventExchange } from "./exchange.ts";
export { createEventExchange, defaultLimits } from "./exchange.ts";
export { EventHistory } from "./history/history.ts";
export type { HistoryLimits } from "./history/segments.ts";
export type { SubscriptionLimits } from "./subscription.ts";
export { checkTopic } from "./topic.ts";
