/**
 * `stats` and `top`.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Container } from "@ctrd/client";
import { errnoOf, isKind } from "@ctrd/core/errors";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows } from "../output/format.ts";
import { formatBytes, formatClock } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { findContainer, findContainers } from "./find.ts";
import { nameOf, shortId } from "./labels.ts";
import { runningTask } from "./lifecycle.ts";
import type { Measurement } from "./measure.ts";
import { measurementOf } from "./measure.ts";
import { taskOf } from "./state.ts";

/** Flags of `ctrd stats`. */
export interface StatsFlags extends OutputFlags {
  /** False: one look. */
  stream?: boolean;
}

interface Sample {
  readonly time: number;
  readonly measured: Measurement;
}

interface StatsRow {
  readonly container: Container;
  readonly measured: Measurement;
  /** Of one processor. */
  readonly cpuPercent: number;
}

const intervalMs = 1_000;

const statsColumns: readonly Column<StatsRow>[] = [
  {
    name: "ID",
    title: "CONTAINER ID",
    value: ({ container }) => container.id,
    text: ({ container }) => shortId(container.id),
  },
  { name: "Name", title: "NAME", value: ({ container }) => nameOf(container.labels) },
  {
    name: "CPUPerc",
    title: "CPU %",
    value: ({ cpuPercent }) => cpuPercent,
    text: ({ cpuPercent }) => `${cpuPercent.toFixed(2)}%`,
  },
  {
    name: "MemUsage",
    title: "MEM USAGE / LIMIT",
    value: ({ measured }) => measured.memory,
    text: ({ measured }) => `${formatBytes(measured.memory)} / ${formatBytes(memoryLimit(measured))}`,
  },
  {
    name: "MemPerc",
    title: "MEM %",
    value: ({ measured }) => memoryPercent(measured),
    text: ({ measured }) => `${memoryPercent(measured).toFixed(2)}%`,
  },
  { name: "MemLimit", value: ({ measured }) => memoryLimit(measured) },
  {
    name: "BlockIO",
    title: "BLOCK I/O",
    value: ({ measured }) => ({ read: measured.readBytes, written: measured.writtenBytes }),
    text: ({ measured }) => `${formatBytes(measured.readBytes)} / ${formatBytes(measured.writtenBytes)}`,
  },
  { name: "PIDs", title: "PIDS", value: ({ measured }) => measured.pids },
];

function memoryLimit({ memoryLimit: limit }: Measurement): bigint {
  return limit === 0n ? BigInt(totalmem()) : limit;
}

function memoryPercent(measured: Measurement): number {
  return (Number(measured.memory) / Number(memoryLimit(measured))) * 100;
}

/** Runs `ctrd stats`: what containers use, again and again on a terminal, once elsewhere. */
export async function stats(session: Session, names: readonly string[], flags: StatsFlags): Promise<void> {
  const { stream = true } = flags;
  const plain = flags.json === true || flags.format !== undefined;
  const again = stream && process.stdout.isTTY && !plain;
  let before = await sampleAll(session, names);
  do {
    await sleep(intervalMs, undefined, { signal: session.signal });
    const now = await sampleAll(session, names);
    const rows = [...now].map(([container, sample]) => rowOf(container, sample, before));
    // Home, then what is left of the screen.
    if (again) process.stdout.write("\x1b[H\x1b[J");
    process.stdout.write(formatRows(rows, statsColumns, flags));
    before = now;
  } while (again);
}

function rowOf(container: Container, { time, measured }: Sample, before: ReadonlyMap<Container, Sample>): StatsRow {
  const earlier = [...before].find(([other]) => other.id === container.id)?.[1];
  const spent = Number(measured.cpuNanos - (earlier?.measured.cpuNanos ?? measured.cpuNanos));
  const passed = (time - (earlier?.time ?? time)) * 1e6;
  return { container, measured, cpuPercent: passed > 0 ? (spent / passed) * 100 : 0 };
}

async function sampleAll(session: Session, names: readonly string[]): Promise<Map<Container, Sample>> {
  const { signal } = session;
  const containers =
    names.length === 0 ? await session.client.containers([], { signal }) : await findContainers(session, names);
  const samples = new Map<Container, Sample>();
  for (const container of containers) {
    try {
      const metrics = await (await taskOf(session, container))?.metrics({ signal });
      const measured = measurementOf(metrics?.data);
      if (measured !== undefined) samples.set(container, { time: performance.now(), measured });
    } catch (error) {
      // It has ended; shims answer so in several ways.
      if (!isKind(error, "not-found") && !isKind(error, "failed-precondition") && !isKind(error, "unknown"))
        throw error;
    }
  }
  return samples;
}

interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly uid: number;
  readonly state: string;
  readonly cpuSeconds: number;
  readonly command: string;
}

const processColumns: readonly Column<ProcessRow>[] = [
  { name: "UID", title: "UID", value: ({ uid }) => uid },
  { name: "PID", title: "PID", value: ({ pid }) => pid },
  { name: "PPID", title: "PPID", value: ({ parent }) => parent },
  { name: "Stat", title: "STAT", value: ({ state }) => state },
  {
    name: "Time",
    title: "TIME",
    value: ({ cpuSeconds }) => cpuSeconds,
    text: ({ cpuSeconds }) => formatClock(cpuSeconds),
  },
  { name: "Command", title: "COMMAND", value: ({ command }) => command },
];

/** Runs `ctrd top`: the processes of a container, as this machine numbers them. */
export async function top(session: Session, name: string, flags: OutputFlags): Promise<void> {
  const task = await runningTask(session, await findContainer(session, name));
  const pids = (await task.pids({ signal: session.signal })).map(({ pid }) => pid);
  const rows = await Promise.all(pids.map(processOf));
  process.stdout.write(
    formatRows(
      rows.filter((row) => row !== undefined),
      processColumns,
      flags,
      1,
    ),
  );
}

const ticksPerSecond = 100;

async function processOf(pid: number): Promise<ProcessRow | undefined> {
  try {
    const [stat, status, cmdline] = await Promise.all(
      ["stat", "status", "cmdline"].map((name) => readFile(`/proc/${pid}/${name}`, "utf8")),
    );
    const name = /\((.*)\)/s.exec(stat ?? "")?.[1] ?? "";
    const fields = (stat ?? "").slice((stat ?? "").lastIndexOf(")") + 2).split(" ");
    const command = (cmdline ?? "").replaceAll("\0", " ").trim();
    return {
      pid,
      parent: Number(fields[1]),
      uid: Number(/^Uid:\s+(\d+)/m.exec(status ?? "")?.[1]),
      state: fields[0] ?? "",
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
      command: command === "" ? `[${name}]` : command,
    };
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}
