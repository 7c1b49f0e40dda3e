/**
 * The conformance suite of content stores. Call it from a vitest file:
 *
 * ```ts
 * contentSuite("local", async (root) => {
 *   const store = await openContentStore(root);
 *   return { store, ctx: createContext({ namespace: "testing" }), close: () => store.close() };
 * }, { labels: false });
 * ```
 *
 * @module
 */
import { describe } from "vitest";
import type { ContentSuiteOptions, OpenStore } from "./harness.ts";
import { createHarness } from "./harness.ts";
import { infoTests } from "./infos.ts";
import { ingestTests } from "./ingests.ts";
import { labelTests } from "./labels.ts";
import { namespaceTests } from "./namespaces.ts";
import { readingTests } from "./reading.ts";
import { commitTests, writingTests } from "./writing.ts";

export type { ContentSuiteOptions, OpenedStore, OpenStore } from "./harness.ts";
export { createMemoryContentStore } from "./memory-store.ts";

/**
 * Defines the tests.
 *
 * @param name shown in the report
 * @param open opens an empty store; `root` is a directory of the test, removed after it
 * @param options what the store can do
 */
export function contentSuite(name: string, open: OpenStore, options: ContentSuiteOptions): void {
  const harness = createHarness(open, options);
  describe(`content store: ${name}`, () => {
    describe("writing", () => writingTests(harness));
    describe("commit", () => commitTests(harness));
    describe("ingests", () => ingestTests(harness));
    describe("reading", () => readingTests(harness));
    describe("info, list, delete", () => infoTests(harness));
    describe("labels", () => labelTests(harness));
    if (options.sharing !== undefined) describe("namespaces", () => namespaceTests(harness));
  });
}
