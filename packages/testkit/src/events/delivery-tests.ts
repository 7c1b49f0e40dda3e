import { createContext, withNamespace } from "@ctrd/core/context";
import { expect, test } from "vitest";
import { expectSame, expectSince } from "../expectations.ts";
import type { WithEvents } from "./harness.ts";
import { containerOf, containersUntil, exitOf, take } from "./harness.ts";

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`);

/** What subscribers get, and in which order. */
export function deliveryTests(withEvents: WithEvents): void {
  test(
    "every subscriber gets, in order, what was published after it subscribed",
    withEvents(async ({ events, ctx }) => {
      await events.publish(ctx, "/tasks/exit", exitOf("before"));
      const early = events.subscribe(ctx, []);
      for (const id of names("a", 300)) await events.publish(ctx, "/tasks/exit", exitOf(id));
      const late = events.subscribe(ctx, []);
      for (const id of names("b", 300)) await events.publish(ctx, "/tasks/exit", exitOf(id));
      await events.publish(ctx, "/tasks/exit", exitOf("end"));
      expect(await containersUntil(early, "end")).toEqual([...names("a", 300), ...names("b", 300)]);
      expect(await containersUntil(late, "end")).toEqual(names("b", 300));
    }),
  );

  test(
    "an event has the namespace of the call and the time of its publication",
    withEvents(async ({ events, ctx }) => {
      const all = events.subscribe(ctx, []);
      const before = Date.now();
      await events.publish(withNamespace(ctx, "elsewhere"), "/a/b.c/d-1_2", exitOf("x"));
      const [envelope] = await take(all, 1);
      expect(envelope).toMatchObject({ namespace: "elsewhere", topic: "/a/b.c/d-1_2" });
      expectSame(envelope?.event, exitOf("x"));
      expectSince(envelope?.timestamp, before);
    }),
  );

  test(
    "a forwarded event keeps its namespace, topic and time",
    withEvents(async ({ events, ctx }) => {
      const all = events.subscribe(ctx, []);
      const event = { typeUrl: "example.Unknown", value: Uint8Array.of(0, 1, 255) };
      const envelope = { timestamp: { seconds: 5n, nanos: 123_456_789 }, namespace: "of-shim", topic: "/x", event };
      // Forwarding needs no namespace of the call: the envelope has one.
      await events.forward(withNamespace(ctx, ""), envelope);
      const [got] = await take(all, 1);
      // Its place among the others is the service's to give.
      expectSame({ ...got, sequence: undefined }, { ...envelope, sequence: undefined });
    }),
  );

  test(
    "a subscription is of every namespace and needs none",
    withEvents(async ({ events, ctx }) => {
      const all = events.subscribe(createContext({ signal: ctx.signal }), []);
      for (const namespace of ["one", "two", "three"]) {
        await events.publish(withNamespace(ctx, namespace), "/a", exitOf(namespace));
      }
      expect((await take(all, 3)).map(({ namespace }) => namespace)).toEqual(["one", "two", "three"]);
    }),
  );

  test(
    "each publisher's events stay in order, also when many publish",
    withEvents(async ({ events, ctx }) => {
      const all = events.subscribe(ctx, []);
      const publishers = names("p", 10);
      await Promise.all(
        publishers.map(async (publisher) => {
          for (const id of names(`${publisher}-`, 50)) await events.publish(ctx, "/a", exitOf(id));
        }),
      );
      const seen = (await take(all, 500)).map(containerOf);
      for (const publisher of publishers) {
        expect(seen.filter((id) => id.startsWith(`${publisher}-`))).toEqual(names(`${publisher}-`, 50));
      }
    }),
  );

  test(
    "an event may have a megabyte",
    withEvents(async ({ events, ctx }) => {
      const all = events.subscribe(ctx, []);
      const event = { typeUrl: "example.Big", value: new Uint8Array(1 << 20).fill(7) };
      await events.publish(ctx, "/a", event);
      const [envelope] = await take(all, 1);
      expect(Buffer.from(event.value).equals(envelope?.event?.value ?? new Uint8Array())).toBe(true);
    }),
  );

  test(
    "a subscriber that does not read holds up neither publishers nor other subscribers, and misses nothing",
    withEvents(async ({ events, ctx }) => {
      const slow = events.subscribe(ctx, []);
      const quick = containersUntil(events.subscribe(ctx, []), "end");
      for (const id of names("c", 3000)) await events.publish(ctx, "/tasks/exit", exitOf(id));
      await events.publish(ctx, "/tasks/exit", exitOf("end"));
      expect(await quick).toEqual(names("c", 3000));
      expect(await containersUntil(slow, "end")).toEqual(names("c", 3000));
    }),
  );
}
