/** Issue 6, Build 2 and 8, Shows 1: kill -9 at any moment loses and leaks nothing. Longer: `npm run kill-anywhere`. */
import { afterAll, beforeAll, expect } from "vitest";
import { openHarness, type Harness } from "./support/harness.ts";
import { killDaemon } from "./support/kill-bench.ts";
import { ctrdTest } from "./support/peers.ts";

let h: Harness;
beforeAll(async () => (h = await openHarness("kill")));
afterAll(() => h?.close());

ctrdTest(
  "6.1: kill -9 at any moment: what was acknowledged is there, containers run on, nothing leaks",
  async () => {
    const report = await killDaemon(h, { seed: Date.now() % 1_000_000, kills: 12, settleEvery: 6 });
    expect(report.kills).toBe(12);
    expect([...report.interrupted.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  },
  180_000,
);
