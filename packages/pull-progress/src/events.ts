/** The events of pulls, which any client of the Events service gets. */
import { PullEnded, PullStarted } from "@ctrd/api/ctrd/progress/v1/progress";
import type { CallContext } from "@ctrd/core/context";
import { withoutCancellation } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import type { EventPublisher } from "@ctrd/core/events";
import type { Pull } from "@ctrd/core/pulls";
import { millisFromTimestamp } from "@ctrd/core/records";
import type { Any } from "@ctrd/core/records";
import { protoAny } from "@ctrd/core/typeurl";

/** Tells that a pull has begun, in its namespace. */
export function publishStart(ctx: CallContext, events: EventPublisher, pull: Pull): void {
  publish(
    ctx,
    events,
    "/ctrd/pulls/start",
    protoAny("ctrd.progress.v1.PullStarted", PullStarted.encode(pull).finish()),
  );
}

/** Tells how a pull has ended. */
export function publishEnd(ctx: CallContext, events: EventPublisher, pull: Pull): void {
  const milliseconds = BigInt(millisFromTimestamp(pull.endedAt) - millisFromTimestamp(pull.startedAt));
  const message = PullEnded.create({ ...pull, digest: pull.target?.digest ?? "", milliseconds });
  publish(ctx, events, "/ctrd/pulls/end", protoAny("ctrd.progress.v1.PullEnded", PullEnded.encode(message).finish()));
}

/** A pull does not wait for those who hear of it, and does not fail because of them. */
function publish(ctx: CallContext, events: EventPublisher, topic: string, event: Any): void {
  events.publish(withoutCancellation(ctx), topic, event).catch((error: unknown) => {
    ctx.log.warn({ topic, err: messageOf(error) }, "cannot publish an event of a pull");
  });
}
