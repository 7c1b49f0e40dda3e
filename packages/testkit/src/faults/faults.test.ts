// What the runner and the disk must find and do; ctrd itself is killed in e2e/26-kill-anywhere.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { tempDir } from "../fixtures/temp-dir.ts";
import type { KillAnywhereOptions, KillWork } from "./kill-anywhere.ts";
import { killAnywhere } from "./kill-anywhere.ts";
import { mountSmallDisk } from "./small-disk.ts";

/** A store of numbers that is killed; `forgets` what it acknowledged, or `keeps` it. */
function store(kind: "forgets" | "keeps"): Pick<KillAnywhereOptions, "daemon" | "works"> & { things: Set<number> } {
  const things = new Set<number>();
  let up = true;
  const work: KillWork = {
    name: "add",
    async run(run, ledger) {
      for (let at = run * 5; at < run * 5 + 5; at++) {
        await sleep(4);
        if (!up) throw new Error("connection refused");
        things.add(at);
        ledger.acknowledged(`thing ${at}`, async () => {
          if (!things.has(at)) throw new Error("not found");
        });
      }
    },
    async cleanUp(ledger) {
      for (const at of things) ledger.uncertain(`thing ${at}`);
      things.clear();
    },
  };
  const daemon = {
    async kill9() {
      up = false;
      if (kind === "forgets") things.clear();
      await sleep(10);
    },
    restart: async () => void (up = true),
  };
  return { daemon, works: [work], things };
}

describe("killAnywhere", () => {
  it("finds nothing in a store that keeps what it has, and counts what it interrupted", async () => {
    const { things, ...kept } = store("keeps");
    const settled = async (): Promise<string[]> => [...things].map((at) => `left: ${at}`);
    const report = await killAnywhere({ ...kept, seed: 3, kills: 10, settleEvery: 5, settled });
    expect(report).toMatchObject({ kills: 10, facts: expect.any(Number) });
    expect(report.facts).toBeGreaterThanOrEqual(50);
    expect(report.interrupted.get("add")).toBeGreaterThan(0);
    expect(report.restartMs).toHaveLength(10);
  });

  it("names the seed, the kill and what is lost", async () => {
    const { things: _, ...lossy } = store("forgets");
    const run = killAnywhere({ ...lossy, seed: 3, kills: 10, settleEvery: 10, settled: async () => [] });
    await expect(run).rejects.toThrow(
      /^seed 3, kill \d+, \d+ ms into add:\n {2}after the restart: acknowledged and lost: thing \d+: Error: not found/,
    );
  });

  it("names what is left, and work that does not end", async () => {
    const { things: _, ...kept } = store("keeps");
    const leaking = { ...kept, seed: 1, kills: 1, settled: async () => ["mount /x"] };
    await expect(killAnywhere(leaking)).rejects.toThrow("seed 1, before the first kill:\n  mount /x");
    const stuck: KillWork = { name: "stuck", run: () => new Promise(() => {}), cleanUp: async () => {} };
    const hanging = { ...kept, works: [stuck], seed: 1, kills: 1, patienceMs: 50, settled: async () => [] };
    await expect(killAnywhere(hanging)).rejects.toThrow(
      'work "stuck" without a kill failed: it has not ended after 50',
    );
  });
});

describe("a small disk", () => {
  it("is full to the last byte, and has room again", async () => {
    await using directory = await tempDir();
    await using disk = await mountSmallDisk(join(directory.path, "disk"), 1 << 20);
    await disk.fill(8192);
    expect(await disk.available()).toBe(8192);
    await disk.fill();
    expect(await disk.available()).toBe(0);
    await expect(writeFile(join(disk.path, "more"), "x")).rejects.toMatchObject({ code: "ENOSPC" });
    await disk.free();
    await writeFile(join(disk.path, "more"), "x");
  });
});
