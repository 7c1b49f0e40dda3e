/**
 * The conformance suite of snapshotters: for implementations, wrappers and remote ones alike. It mounts what they
 * return, so it needs root on Linux.
 *
 * ```ts
 * import { snapshotterSuite } from "@ctrd/testkit/snapshots";
 *
 * snapshotterSuite("mine", async (root) => {
 *   const snapshotter = await openMine(root);
 *   return { snapshotter, close: () => snapshotter.close() };
 * });
 * ```
 *
 * @module
 */
import { afterEach, beforeEach, describe, expect } from "vitest";
import type { OpenSnapshotter } from "./bench.ts";
import { SnapshotBench } from "./bench.ts";
import { concurrencyTests } from "./concurrency-tests.ts";
import { contentTests } from "./content-tests.ts";
import { deepChainTests } from "./deep-chain-tests.ts";
import { errorTests } from "./error-tests.ts";
import { layerTests } from "./layer-tests.ts";
import { lifecycleTests } from "./lifecycle-tests.ts";
import { storageTests } from "./storage-tests.ts";
import { updateTests } from "./update-tests.ts";
import { walkTests } from "./walk-tests.ts";

export type { OpenedSnapshotter, OpenSnapshotter } from "./bench.ts";

/** What a snapshotter can do beyond the common ground. */
export interface SnapshotterSuiteOptions {
  /** Commit may give a parent (capability `rebase`). */
  rebase?: boolean;
  /** Layers of the deepest chain; 140 by default, more than fit in one page of overlay options. */
  depth?: number;
  /**
   * How usage is counted: `files` (the default) means allocated bytes and inodes of the snapshot's own files, exactly;
   * `blocks` allows more of both.
   */
  usage?: "files" | "blocks";
  /** Whether all files of a snapshot are below the root that is given to `open`; true by default. */
  filesBelowRoot?: boolean;
  /** Whether a file with several names has the right number of them at once; fuse-overlayfs finds them one by one. */
  linkCounts?: boolean;
  /** Permission bits of the root directory of a snapshot without parent; 0o755 by default. */
  rootMode?: number;
}

/** Gives the bench of the test that runs. */
export type CurrentBench = () => SnapshotBench;

/** Declares the tests for the snapshotter that `open` opens; each test gets one in a fresh directory. */
export function snapshotterSuite(name: string, open: OpenSnapshotter, options: SnapshotterSuiteOptions = {}): void {
  describe(`snapshotter ${name}`, () => {
    let bench: SnapshotBench;
    let umask: number;

    beforeEach(async () => {
      umask = process.umask(0);
      bench = await SnapshotBench.start(open);
    });

    afterEach(async () => {
      process.umask(umask);
      expect(await bench.end(), "mounts left behind").toEqual([]);
    });

    const current: CurrentBench = () => bench;
    describe("lifecycle", () => lifecycleTests(current));
    describe("errors", () => errorTests(current, options));
    describe("update", () => updateTests(current));
    describe("walk", () => walkTests(current));
    describe("layers", () => layerTests(current, options));
    describe("content", () => contentTests(current, options));
    describe("deep chains", () => deepChainTests(current, options));
    describe("usage and cleanup", () => storageTests(current, options));
    describe("concurrency", () => concurrencyTests(current));
  });
}
