/**
 * The conformance suite of event services. Call it from a vitest file:
 *
 * ```ts
 * eventSuite("mine", async () => {
 *   const events = createMyExchange();
 *   return { events, ctx: createContext({ namespace: "testing" }), close: async () => events.close() };
 * });
 * ```
 *
 * @module
 */
import { describe } from "vitest";
import { deliveryTests } from "./delivery-tests.ts";
import { endingTests, limitTests } from "./ending-tests.ts";
import { fieldTests, filterTests } from "./filter-tests.ts";
import type { OpenEvents } from "./harness.ts";
import { eventHarness } from "./harness.ts";
import { refusalTests } from "./refusal-tests.ts";

export type { OpenedEvents, OpenEvents } from "./harness.ts";

/** What an event service can do. */
export interface EventSuiteOptions {
  /** Filters see the fields of containerd's events (`event.container_id==x`); true by default. */
  fields?: boolean;
  /** Most events that a subscriber may be behind, at least 3002; not limited when absent. */
  limit?: number;
}

/**
 * Defines the tests.
 *
 * @param name shown in the report
 * @param open opens a service without subscribers
 */
export function eventSuite(name: string, open: OpenEvents, options: EventSuiteOptions = {}): void {
  const withEvents = eventHarness(open);
  const { limit } = options;
  describe(`events: ${name}`, () => {
    describe("delivery", () => deliveryTests(withEvents));
    describe("filters", () => filterTests(withEvents));
    if (options.fields ?? true) describe("fields", () => fieldTests(withEvents));
    describe("refusals", () => refusalTests(withEvents));
    describe("ending", () => endingTests(withEvents));
    if (limit !== undefined) describe("limits", () => limitTests(withEvents, limit));
  });
}
