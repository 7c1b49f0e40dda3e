/**
 * The conformance suite of differs. It mounts, makes devices and sets attributes, so it needs root on Linux. Call it
 * from a vitest file:
 *
 * ```ts
 * differSuite("mine", async (root, content) => {
 *   const differ = await openMyDiffer(root, content);
 *   return { differ, ctx: createContext({ namespace: "testing" }), close: () => differ.close() };
 * });
 * ```
 *
 * @module
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "vitest";
import type { Compression } from "../fixtures/images.ts";
import { applyTests } from "./apply-tests.ts";
import type { DifferHost, OpenDiffer } from "./bench.ts";
import { DiffBench, openHost } from "./bench.ts";
import { cancelTests } from "./cancel-tests.ts";
import { changeTests, resultTests, writtenEntryTests } from "./compare-tests.ts";
import { entryTests } from "./entry-tests.ts";
import { hostileTests } from "./hostile-tests.ts";
import { roundTripTests } from "./round-trip-tests.ts";
import { mountTests, overlayTests, whiteoutTests } from "./whiteout-tests.ts";

export type { OpenDiffer, OpenedDiffer } from "./bench.ts";

/** What a differ can do; what is absent it can. */
export interface DifferSuiteOptions {
  /** It applies layers. */
  apply?: boolean;
  /** It computes layers. */
  compare?: boolean;
  /** It takes mounts of type overlay. */
  overlay?: boolean;
  /** Compressions of the layers that it reads and writes. */
  compressions?: readonly Compression[];
}

/** Gives the bench of the test that runs. */
export type CurrentDiffBench = () => DiffBench;

/**
 * Defines the tests.
 *
 * @param name shown in the report
 * @param open opens the differ, once for all tests
 */
export function differSuite(name: string, open: OpenDiffer, options: DifferSuiteOptions = {}): void {
  const { apply = true, compare = true, overlay = true } = options;
  describe(`differ: ${name}`, () => {
    let host: DifferHost;
    let bench: DiffBench;
    let umask: number;

    beforeAll(async () => {
      host = await openHost(open);
    });

    afterAll(() => host?.close());

    beforeEach(() => {
      umask = process.umask(0);
      bench = new DiffBench(host);
    });

    afterEach(async () => {
      process.umask(umask);
      expect(await bench.end(), "mounts left behind").toEqual([]);
    });

    const current: CurrentDiffBench = () => bench;
    if (apply) {
      describe("apply", () => applyTests(current, options));
      describe("entries", () => entryTests(current));
      describe("whiteouts", () => whiteoutTests(current));
      if (overlay) describe("overlays", () => overlayTests(current));
      describe("mounts", () => mountTests(current));
      describe("broken and hostile layers", () => hostileTests(current, options));
    }
    if (compare) {
      describe("compare", () => resultTests(current, options));
      describe("changes", () => changeTests(current));
      describe("written entries", () => writtenEntryTests(current));
    }
    if (apply && compare) describe("round trips", () => roundTripTests(current, options));
    describe("cancellation", () => cancelTests(current, options));
  });
}
