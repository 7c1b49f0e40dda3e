import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { readPodCgroup } from "./pod-cgroup.ts";
import { cgroupUsage } from "./usage.ts";

let dir: TempDir;
beforeAll(async () => {
  dir = await tempDir();
});
afterAll(() => dir[Symbol.asyncDispose]());

/** Writes files below a directory. */
function writeFiles(path: string, files: Record<string, string>): void {
  mkdirSync(path, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
}

describe("cgroup v1", () => {
  test("its files", async () => {
    writeFiles(join(dir.path, "cpuacct/pods/a"), { "cpuacct.usage": "123456789012345678\n" });
    writeFiles(join(dir.path, "memory/pods/a"), {
      "memory.usage_in_bytes": "100\n",
      "memory.limit_in_bytes": "9223372036854771712\n",
      "memory.memsw.usage_in_bytes": "110\n",
      "memory.memsw.limit_in_bytes": "9223372036854771712\n",
      "memory.stat": "cache 1\ntotal_rss 50\ntotal_inactive_file 30\ntotal_pgfault 5\ntotal_pgmajfault 2\n",
    });
    const read = await readPodCgroup("/pods/a", false, dir.path);
    expect(read && cgroupUsage(read, 1n, undefined)).toMatchObject({
      cpu: { usageCoreNanoSeconds: { value: 123_456_789_012_345_678n } },
      memory: {
        usageBytes: { value: 100n },
        workingSetBytes: { value: 70n },
        availableBytes: { value: 0n },
        rssBytes: { value: 50n },
        pageFaults: { value: 5n },
        majorPageFaults: { value: 2n },
      },
      swap: { swapUsageBytes: { value: 10n } },
    });
  });
});

describe("cgroup v2", () => {
  const files = {
    "cpu.stat": "usage_usec 1000\nuser_usec 600\nsystem_usec 400\n",
    "memory.current": "100\n",
    "memory.max": "max\n",
    "memory.swap.current": "4\n",
    "memory.swap.max": "10\n",
    "memory.stat": "anon 60\ninactive_file 30\npgfault 5\npgmajfault 2\n",
    "cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\n",
    "memory.pressure":
      "some avg10=0.00 avg60=0.00 avg300=0.00 total=8\nfull avg10=0.00 avg60=0.00 avg300=0.25 total=9\n",
  };

  test("its files, with pressure where the kernel counts it", async () => {
    writeFiles(join(dir.path, "v2/pods/a"), files);
    const read = await readPodCgroup("/pods/a", true, join(dir.path, "v2"));
    expect(read && cgroupUsage(read, 1n, undefined)).toMatchObject({
      cpu: {
        usageCoreNanoSeconds: { value: 1_000_000n },
        psi: { Some: { Avg10: 1.5, Total: 7000n }, Full: undefined },
      },
      memory: {
        usageBytes: { value: 100n },
        workingSetBytes: { value: 70n },
        availableBytes: { value: 0n },
        rssBytes: { value: 60n },
        psi: { Some: { Total: 8000n }, Full: { Avg300: 0.25, Total: 9000n } },
      },
      swap: { swapUsageBytes: { value: 4n }, swapAvailableBytes: { value: 6n } },
      io: undefined,
    });
  });

  test("a slice by its name alone is where systemd puts it", async () => {
    writeFiles(join(dir.path, "v2/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice"), files);
    const root = join(dir.path, "v2");
    expect(await readPodCgroup("kubepods-burstable-pod1.slice", true, root)).toBeDefined();
    expect(await readPodCgroup("/kubepods.slice/kubepods-burstable.slice", true, root)).toBeUndefined();
  });
});

test("no cgroup, one that is gone, one outside the tree", async () => {
  expect(await readPodCgroup("", false)).toBeUndefined();
  expect(await readPodCgroup("/nowhere", false)).toBeUndefined();
  writeFiles(join(dir.path, "outside"), { "cpuacct.usage": "1\n" });
  expect(await readPodCgroup("../../outside", false, join(dir.path, "tree"))).toBeUndefined();
});
