import { withSignal } from "@ctrd/core/context";
import { expect, test } from "vitest";
import { expectKind } from "../expectations.ts";
import type { OpenedEvents, WithEvents } from "./harness.ts";
import { containersUntil, exitOf, take } from "./harness.ts";

/** How subscriptions end. */
export function endingTests(withEvents: WithEvents): void {
  test(
    "a subscription ends, without an error, when its call is cancelled",
    withEvents(async ({ events, ctx }) => {
      const controller = new AbortController();
      const waiting = take(events.subscribe(withSignal(ctx, controller.signal), []), 2);
      const other = take(events.subscribe(ctx, []), 2);
      await events.publish(ctx, "/a", exitOf("one"));
      setTimeout(() => controller.abort(), 50);
      expect((await waiting).length).toBeLessThanOrEqual(1);
      await events.publish(ctx, "/a", exitOf("two"));
      expect(await other).toHaveLength(2);
      expect(await take(events.subscribe(withSignal(ctx, AbortSignal.abort()), []), 1)).toEqual([]);
    }),
  );

  test(
    "subscribers come and go while events are published",
    withEvents(async ({ events, ctx }) => {
      const lasting = containersUntil(events.subscribe(ctx, []), "end");
      const ids: string[] = [];
      for (let n = 0; n < 200; n++) {
        const leaving = events.subscribe(ctx, [`event.container_id==c${n}`, 'topic=="/never"']);
        ids.push(`c${n}`);
        await events.publish(ctx, "/a", exitOf(`c${n}`));
        expect(await take(leaving, 1)).toHaveLength(1);
      }
      await events.publish(ctx, "/a", exitOf("end"));
      expect(await lasting).toEqual(ids);
    }),
  );
}

/** For services that end a subscriber which is more than `limit` events behind. */
export function limitTests(withEvents: WithEvents, limit: number): void {
  test(
    "a subscriber that falls too far behind is told so, and nobody else is disturbed",
    withEvents(async ({ events, ctx }: OpenedEvents) => {
      const slow = events.subscribe(ctx, []);
      const quick = containersUntil(events.subscribe(ctx, []), "end");
      const ids = Array.from({ length: limit + 1 }, (_unused, n) => `c${n}`);
      for (const id of ids) await events.publish(ctx, "/a", exitOf(id));
      await events.publish(ctx, "/a", exitOf("end"));
      expect(await quick).toEqual(ids);
      await expectKind(containersUntil(slow, "end"), "resource-exhausted");
      const again = events.subscribe(ctx, []);
      await events.publish(ctx, "/a", exitOf("end"));
      expect(await containersUntil(again, "end")).toEqual([]);
    }),
  );
}
