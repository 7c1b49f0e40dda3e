import type { BlkIOEntry } from "@ctrd/api/cgroups/v1/metrics";
import { Metrics as MetricsV1 } from "@ctrd/api/cgroups/v1/metrics";
import { Metrics as MetricsV2 } from "@ctrd/api/cgroups/v2/metrics";
import type { Any } from "@ctrd/core/records";
import { typeName } from "@ctrd/core/typeurl";

/** What a container uses. Numbers that its cgroups do not count are 0. */
export interface Measurement {
  /** Processor time in nanoseconds. */
  readonly cpuNanos: bigint;
  /** Bytes of memory without what the kernel can drop. */
  readonly memory: bigint;
  /** Bytes; 0: no limit. */
  readonly memoryLimit: bigint;
  readonly pids: bigint;
  readonly readBytes: bigint;
  readonly writtenBytes: bigint;
}

/** Limits at least as large as this are none. */
const unlimited = 1n << 60n;

/** Reads the metrics of a task; undefined when they are of no kind that is known. */
export function measurementOf(data: Any | undefined): Measurement | undefined {
  if (data === undefined) return undefined;
  switch (typeName(data.typeUrl)) {
    case "io.containerd.cgroups.v1.Metrics":
      return fromV1(MetricsV1.decode(data.value));
    case "io.containerd.cgroups.v2.Metrics":
      return fromV2(MetricsV2.decode(data.value));
    default:
      return undefined;
  }
}

function fromV1({ cpu, memory, pids, blkio }: MetricsV1): Measurement {
  const entries: readonly BlkIOEntry[] = blkio?.ioServiceBytesRecursive ?? [];
  const moved = (op: string): bigint =>
    entries.filter((entry) => entry.op === op).reduce((sum, { value }) => sum + value, 0n);
  return {
    cpuNanos: cpu?.usage?.total ?? 0n,
    memory: atLeastZero((memory?.usage?.usage ?? 0n) - (memory?.totalInactiveFile ?? 0n)),
    memoryLimit: limitOf(memory?.usage?.limit),
    pids: pids?.current ?? 0n,
    readBytes: moved("Read"),
    writtenBytes: moved("Write"),
  };
}

function fromV2({ cpu, memory, pids, io }: MetricsV2): Measurement {
  const usage = io?.usage ?? [];
  return {
    cpuNanos: (cpu?.usageUsec ?? 0n) * 1000n,
    memory: atLeastZero((memory?.usage ?? 0n) - (memory?.inactiveFile ?? 0n)),
    memoryLimit: limitOf(memory?.usageLimit),
    pids: pids?.current ?? 0n,
    readBytes: usage.reduce((sum, { rbytes }) => sum + rbytes, 0n),
    writtenBytes: usage.reduce((sum, { wbytes }) => sum + wbytes, 0n),
  };
}

function limitOf(limit: bigint | undefined): bigint {
  return limit === undefined || limit >= unlimited ? 0n : limit;
}

function atLeastZero(value: bigint): bigint {
  return value > 0n ? value : 0n;
}
