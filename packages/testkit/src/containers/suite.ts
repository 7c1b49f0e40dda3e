/**
 * The conformance suite of container stores. Call it from a vitest file:
 *
 * ```ts
 * containerStoreSuite("mine", async (root) => {
 *   const store = await openMyContainers(root);
 *   return { store, ctx: createContext({ namespace: "testing" }), close: () => store.close() };
 * });
 * ```
 *
 * @module
 */
import type { ContainerStore } from "@ctrd/core/containers";
import { describe } from "vitest";
import { commonRecordTests } from "../records/common-tests.ts";
import type { OpenedRecords, OpenRecords, RecordSuiteOptions } from "../records/harness.ts";
import { recordHarness } from "../records/harness.ts";
import { containerKind } from "./kind.ts";
import { recordTests, updateTests } from "./record-tests.ts";

export type { OpenedRecords, OpenRecords, RecordSuiteOptions } from "../records/harness.ts";

/**
 * Defines the tests.
 *
 * @param name shown in the report
 * @param open opens an empty store; `root` is a directory of the test, removed after it
 */
export function containerStoreSuite(
  name: string,
  open: OpenRecords<OpenedRecords<ContainerStore>>,
  options: RecordSuiteOptions = {},
): void {
  const withStore = recordHarness(open);
  describe(`container store: ${name}`, () => {
    commonRecordTests(withStore, containerKind, options);
    describe("records", () => recordTests(withStore));
    describe("update", () => updateTests(withStore));
  });
}
