/** Issue 6, Build 2: what was acknowledged outlives a loss of power. Longer: `npm run power-loss`. */
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { losePower } from "../tools/power-loss/power-loss.ts";
import { ctrdTest, requirePeers } from "./support/peers.ts";

test("the disk can be recorded on this machine", () => {
  requirePeers(["ctr", "docker-registry", "losetup", "mkfs.ext4"]);
  expect(existsSync("/dev/fuse"), "/dev/fuse is missing: modprobe fuse").toBe(true);
  expect(existsSync("/dev/loop-control"), "/dev/loop-control is missing: modprobe loop").toBe(true);
});

ctrdTest(
  "6.2: losses of power at moments of pulls, commits and collections",
  async () => {
    const report = await losePower({ cuts: 6, seed: Date.now() % 1_000_000 });
    expect(report).toMatchObject({ cuts: 6 });
    expect(report.flushes).toBeGreaterThan(50);
    expect(report.facts).toBeGreaterThan(0);
  },
  180_000,
);
