import { describe } from "vitest";
import { concurrencyTests } from "./concurrency-tests.ts";
import { filterTests } from "./filter-tests.ts";
import type { OpenedRecords, RecordSuiteOptions, WithRecords } from "./harness.ts";
import type { AnyRecord, RecordKind } from "./kind.ts";
import { labelTests } from "./label-tests.ts";
import { lifeTests } from "./life-tests.ts";
import { namespaceTests } from "./namespace-tests.ts";

/** The tests that are the same for every kind of record. */
export function commonRecordTests<S, R extends AnyRecord>(
  withStore: WithRecords<OpenedRecords<S>>,
  kind: RecordKind<S, R>,
  options: RecordSuiteOptions,
): void {
  describe("life", () => lifeTests(withStore, kind, options));
  describe("labels", () => labelTests(withStore, kind));
  describe("filters", () => filterTests(withStore, kind));
  describe("namespaces", () => namespaceTests(withStore, kind));
  describe("concurrency", () => concurrencyTests(withStore, kind));
}
