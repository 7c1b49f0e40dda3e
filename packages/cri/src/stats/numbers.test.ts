/** Numbers of cgroups, both versions, as shims send them. */
import { describe, expect, test } from "vitest";
import { Metrics as MetricsV1 } from "@ctrd/api/cgroups/v1/metrics";
import { Metrics as MetricsV2 } from "@ctrd/api/cgroups/v2/metrics";
import { protoAny } from "@ctrd/core/typeurl";
import type { CgroupMetrics } from "./cgroup-metrics.ts";
import { decodeMetrics, processCount } from "./cgroup-metrics.ts";
import { CpuSamples } from "./cpu-samples.ts";
import { parseNetDev } from "./net-dev.ts";
import { networkUsage, sumUsage } from "./pod-usage.ts";
import { cgroupUsage } from "./usage.ts";

const unlimited = 2n ** 63n - 4096n;

function v1(fields: Parameters<typeof MetricsV1.create>[0]): CgroupMetrics {
  const bytes = MetricsV1.encode(MetricsV1.create(fields)).finish();
  const read = decodeMetrics(protoAny("io.containerd.cgroups.v1.Metrics", bytes));
  if (read === undefined) throw new Error("not read");
  return read;
}

function v2(fields: Parameters<typeof MetricsV2.create>[0]): CgroupMetrics {
  const bytes = MetricsV2.encode(MetricsV2.create(fields)).finish();
  const read = decodeMetrics(protoAny("types.googleapis.com/io.containerd.cgroups.v2.Metrics", bytes));
  if (read === undefined) throw new Error("not read");
  return read;
}

const value = (number: bigint): object => ({ value: number });

describe("cgroup v1", () => {
  test("processor and memory; swap is counted with memory there", () => {
    const numbers = v1({
      pids: { current: 3n },
      cpu: { usage: { total: 2n ** 63n } },
      memory: {
        usage: { usage: 100n, limit: 150n },
        swap: { usage: 130n, limit: 200n },
        totalInactiveFile: 40n,
        totalRss: 50n,
        totalPgFault: 7n,
        totalPgMajFault: 1n,
      },
    });
    expect(processCount(numbers)).toBe(3n);
    expect(cgroupUsage(numbers, 5n, 9n)).toEqual({
      cpu: { timestamp: 5n, usageCoreNanoSeconds: value(2n ** 63n), usageNanoCores: value(9n), psi: undefined },
      memory: {
        timestamp: 5n,
        workingSetBytes: value(60n),
        availableBytes: value(90n),
        usageBytes: value(100n),
        rssBytes: value(50n),
        pageFaults: value(7n),
        majorPageFaults: value(1n),
        psi: undefined,
      },
      swap: { timestamp: 5n, swapAvailableBytes: value(20n), swapUsageBytes: value(30n) },
      io: undefined,
    });
  });

  test("without limits nothing is available by number; numbers of different moments give no negative ones", () => {
    const { memory, swap } = cgroupUsage(
      v1({
        memory: {
          usage: { usage: 10n, limit: unlimited },
          swap: { usage: 5n, limit: unlimited },
          totalInactiveFile: 20n,
        },
      }),
      1n,
      undefined,
    );
    expect(memory).toMatchObject({ workingSetBytes: value(0n), availableBytes: value(0n) });
    expect(swap).toMatchObject({ swapAvailableBytes: value(0n), swapUsageBytes: value(0n) });
  });

  test("what is not counted is not reported", () => {
    expect(cgroupUsage(v1({}), 1n, undefined)).toEqual({
      cpu: undefined,
      memory: undefined,
      swap: undefined,
      io: undefined,
    });
  });
});

describe("cgroup v2", () => {
  const psi = {
    some: { avg10: 1.5, avg60: 2.5, avg300: 3.5, total: 4n },
    full: { avg10: 0.5, avg60: 0.25, avg300: 0.125, total: 2n },
  };
  const reported = {
    Some: { Avg10: 1.5, Avg60: 2.5, Avg300: 3.5, Total: 4000n },
    Full: { Avg10: 0.5, Avg60: 0.25, Avg300: 0.125, Total: 2000n },
  };

  test("microseconds become nanoseconds, pressure is told", () => {
    const numbers = v2({
      pids: { current: 2n },
      cpu: { usageUsec: 5n, psi },
      memory: {
        usage: 100n,
        usageLimit: 200n,
        inactiveFile: 30n,
        anon: 60n,
        pgfault: 8n,
        pgmajfault: 2n,
        swapUsage: 4n,
        swapLimit: 10n,
        psi,
      },
      io: { psi },
    });
    expect(processCount(numbers)).toBe(2n);
    expect(cgroupUsage(numbers, 5n, undefined)).toEqual({
      cpu: { timestamp: 5n, usageCoreNanoSeconds: value(5000n), usageNanoCores: undefined, psi: reported },
      memory: {
        timestamp: 5n,
        workingSetBytes: value(70n),
        availableBytes: value(130n),
        usageBytes: value(100n),
        rssBytes: value(60n),
        pageFaults: value(8n),
        majorPageFaults: value(2n),
        psi: reported,
      },
      swap: { timestamp: 5n, swapAvailableBytes: value(6n), swapUsageBytes: value(4n) },
      io: { timestamp: 5n, psi: reported },
    });
  });

  test("no limit is the largest number of 64 bits", () => {
    const { memory, swap } = cgroupUsage(
      v2({ memory: { usage: 1n, usageLimit: 2n ** 64n - 1n, swapLimit: 2n ** 64n - 1n } }),
      1n,
      undefined,
    );
    expect(memory?.availableBytes).toEqual(value(0n));
    expect(swap?.swapAvailableBytes).toEqual(value(0n));
  });
});

test("numbers of another kind are passed over", () => {
  expect(decodeMetrics(undefined)).toBeUndefined();
  expect(decodeMetrics(protoAny("io.containerd.other.Metrics", new Uint8Array()))).toBeUndefined();
});

describe("rates", () => {
  const second = 1_000_000_000n;

  test("need two samples that are not too close, and are of the last two", () => {
    const samples = new CpuSamples(60_000);
    expect(samples.add("a", second, 0n)).toBeUndefined();
    expect(samples.add("a", second + 50_000_000n, 50_000_000n)).toBeUndefined();
    expect(samples.add("a", 3n * second, second)).toBe(second / 2n);
    // Too close: the rate stays.
    expect(samples.add("a", 3n * second + 1n, 2n * second)).toBe(second / 2n);
    expect(samples.add("a", 4n * second, 3n * second)).toBe(2n * second);
    expect(samples.add("b", 4n * second, 9n)).toBeUndefined();
  });

  test("begin again when the counter goes back, or the last sample is too old", () => {
    const samples = new CpuSamples(10_000);
    samples.add("a", second, 5n);
    expect(samples.add("a", 2n * second, 1n)).toBeUndefined();
    expect(samples.add("a", 3n * second, 11n)).toBe(10n);
    expect(samples.add("a", 20n * second, 20n)).toBeUndefined();
    samples.add("b", second, 1n);
    samples.prune(20n * second);
    expect(samples.add("b", 21n * second, 2n)).toBeUndefined();
  });
});

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0
  eth1: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0
eth0.5:18446744073709551615 20 30 40 0 0 0 0 50 60 70 80 0 0 0 0
`;

test("the kernel's table of interfaces", () => {
  const interfaces = parseNetDev(netDev);
  expect(interfaces).toEqual([
    {
      name: "eth1",
      received: { bytes: 1n, packets: 2n, errors: 3n, dropped: 4n },
      sent: { bytes: 5n, packets: 6n, errors: 7n, dropped: 8n },
    },
    {
      name: "eth0.5",
      received: { bytes: 2n ** 64n - 1n, packets: 20n, errors: 30n, dropped: 40n },
      sent: { bytes: 50n, packets: 60n, errors: 70n, dropped: 80n },
    },
  ]);
  expect(networkUsage(interfaces, 1n)).toMatchObject({
    defaultInterface: {
      name: "eth1",
      rxBytes: value(1n),
      rxErrors: value(3n),
      txBytes: value(5n),
      txErrors: value(7n),
    },
    interfaces: [{ name: "eth1" }, { name: "eth0.5" }],
  });
  const named = parseNetDev(netDev.replace("eth0.5", "eth0"));
  expect(networkUsage(named, 1n).defaultInterface?.name).toBe("eth0");
  expect(networkUsage([], 1n)).toEqual({ timestamp: 1n, defaultInterface: undefined, interfaces: [] });
});

test("a pod without a cgroup of its own uses what its containers do", () => {
  const one = cgroupUsage(v2({ cpu: { usageUsec: 1n }, memory: { usage: 10n, usageLimit: 20n } }), 1n, 5n);
  const two = cgroupUsage(v2({ cpu: { usageUsec: 2n }, memory: { usage: 30n, usageLimit: 40n } }), 1n, 6n);
  expect(sumUsage([one, two], 7n)).toMatchObject({
    cpu: { timestamp: 7n, usageCoreNanoSeconds: value(3000n), usageNanoCores: value(11n) },
    memory: { usageBytes: value(40n), availableBytes: value(20n) },
  });
  const fresh = cgroupUsage(v2({ cpu: { usageUsec: 2n } }), 1n, undefined);
  expect(sumUsage([one, fresh], 7n).cpu?.usageNanoCores).toBeUndefined();
  expect(sumUsage([], 7n)).toEqual({ cpu: undefined, memory: undefined, swap: undefined, io: undefined });
});
