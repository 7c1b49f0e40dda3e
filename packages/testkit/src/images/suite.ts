/**
 * The conformance suite of image stores. Call it from a vitest file:
 *
 * ```ts
 * imageStoreSuite("mine", async (root) => {
 *   const store = await openMyImages(root);
 *   return { store, ctx: createContext({ namespace: "testing" }), close: () => store.close() };
 * });
 * ```
 *
 * @module
 */
import type { ImageStore } from "@ctrd/core/images";
import type { LeaseManager } from "@ctrd/core/leases";
import { describe } from "vitest";
import { commonRecordTests } from "../records/common-tests.ts";
import type { OpenedRecords, OpenRecords, RecordSuiteOptions } from "../records/harness.ts";
import { recordHarness } from "../records/harness.ts";
import { imageKind } from "./kind.ts";
import { leaseTests } from "./lease-tests.ts";
import { recordTests, targetTests } from "./record-tests.ts";

export type { OpenRecords, RecordSuiteOptions } from "../records/harness.ts";

/** An image store under test. */
export interface OpenedImageStore extends OpenedRecords<ImageStore> {
  /** The leases that new images join; needed with the option `leases`. */
  leases?: LeaseManager;
}

/** What an image store can do. */
export interface ImageStoreSuiteOptions extends RecordSuiteOptions {
  /** New images join the lease of their call; `open` gives the leases. */
  leases?: boolean;
}

/**
 * Defines the tests.
 *
 * @param name shown in the report
 * @param open opens an empty store; `root` is a directory of the test, removed after it
 */
export function imageStoreSuite(
  name: string,
  open: OpenRecords<OpenedImageStore>,
  options: ImageStoreSuiteOptions = {},
): void {
  const withStore = recordHarness(open);
  describe(`image store: ${name}`, () => {
    commonRecordTests(withStore, imageKind, options);
    describe("records", () => recordTests(withStore));
    describe("targets", () => targetTests(withStore));
    if (options.leases === true) describe("leases", () => leaseTests(withStore));
  });
}
