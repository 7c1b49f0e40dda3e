import { withNamespace } from "@ctrd/core/context";
import type { Envelope } from "@ctrd/core/events";
import { now } from "@ctrd/core/records";
import { expect, test } from "vitest";
import { expectKind } from "../expectations.ts";
import type { WithEvents } from "./harness.ts";
import { containersUntil, exitOf } from "./harness.ts";

const topics = ["", "/", "tasks", "/tasks/", "/ta sks", "//x", "/a//b", "/-a", `/${"x".repeat(77)}`];

/** Events that are refused, and reach nobody. */
export function refusalTests(withEvents: WithEvents): void {
  test(
    "malformed topics and namespaces are refused",
    withEvents(async ({ events, ctx }) => {
      const all = events.subscribe(ctx, []);
      for (const topic of topics) await expectKind(events.publish(ctx, topic, exitOf("x")), "invalid-argument");
      await expectKind(events.publish(withNamespace(ctx, ""), "/a", exitOf("x")), "failed-precondition");
      await expectKind(events.publish(withNamespace(ctx, "a/b"), "/a", exitOf("x")), "invalid-argument");
      await events.publish(ctx, "/a", exitOf("end"));
      expect(await containersUntil(all, "end")).toEqual([]);
    }),
  );

  test(
    "envelopes without topic, namespace or time are refused",
    withEvents(async ({ events, ctx }) => {
      const all = events.subscribe(ctx, []);
      const envelope: Envelope = { namespace: "n", topic: "/a", timestamp: now(), event: exitOf("end") };
      const changes: Partial<Envelope>[] = [{ namespace: "" }, { namespace: "a/b" }, { timestamp: undefined }];
      for (const change of [...changes, ...topics.map((topic) => ({ topic }))]) {
        await expectKind(events.forward(ctx, { ...envelope, event: exitOf("x"), ...change }), "invalid-argument");
      }
      await events.forward(ctx, envelope);
      expect(await containersUntil(all, "end")).toEqual([]);
    }),
  );
}
