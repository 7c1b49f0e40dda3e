/**
 * `ctrd tasks`: tasks as the daemon has them, whoever made them.
 *
 * @module
 */
import { signalNumber } from "@ctrd/client";
import { messageOf } from "@ctrd/core/errors";
import { millisFromTimestamp } from "@ctrd/core/records";
import type { TaskProcess } from "@ctrd/core/tasks";
import { typeName } from "@ctrd/core/typeurl";
import { measurementOf } from "../containers/measure.ts";
import { commandOf } from "../doctor/processes.ts";
import { CommandFailure } from "../failure.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows, toJson } from "../output/format.ts";
import { formatTime } from "../output/quantities.ts";
import type { Session } from "../session.ts";

const states = ["unknown", "created", "running", "stopped", "paused", "pausing"];
const taskId = ({ id, containerId }: TaskProcess): string => containerId || id;

const columns: readonly Column<TaskProcess>[] = [
  { name: "ID", title: "TASK", value: taskId },
  { name: "PID", title: "PID", value: ({ pid }) => pid },
  { name: "Status", title: "STATUS", value: ({ status }) => states[status] ?? "unknown" },
  { name: "ExitStatus", title: "EXIT", value: ({ exitStatus }) => exitStatus, text: exitText },
  { name: "ExitedAt", value: exitTime },
  { name: "Terminal", value: ({ terminal }) => terminal },
  { name: "Stdin", value: ({ stdin }) => stdin },
  { name: "Stdout", value: ({ stdout }) => stdout },
  { name: "Stderr", value: ({ stderr }) => stderr },
];

function exitText({ status, exitStatus }: TaskProcess): string {
  return states[status] === "stopped" ? String(exitStatus) : "-";
}

/** containerd sends the zero time of Go for what has not ended. */
function exitTime({ exitedAt }: TaskProcess): string | null {
  return millisFromTimestamp(exitedAt) > 0 ? formatTime(exitedAt) : null;
}

/** Runs `ctrd tasks ls`. */
export async function listTasks({ tasks, ctx }: Session, flags: OutputFlags): Promise<void> {
  const found = await tasks.list(ctx, { filter: "" });
  process.stdout.write(formatRows(found.tasks, columns, flags));
}

/** Runs `ctrd tasks inspect`: what the shim says of it. */
export async function inspectTask({ tasks, ctx }: Session, id: string): Promise<void> {
  const { process: found } = await tasks.get(ctx, { containerId: id, execId: "" });
  if (found === undefined) throw new CommandFailure(`no task "${id}"`, { remedy: "list all with: ctrd tasks ls" });
  const facts = columns.map(({ name, value }) => [name, value(found)]);
  process.stdout.write(`${toJson(Object.fromEntries(facts), 2)}\n`);
}

/** Flags of `ctrd tasks kill`. */
export interface TaskKillFlags {
  signal: string;
  all?: boolean;
  exec?: string;
}

/** Runs `ctrd tasks kill`. */
export async function killTask(session: Session, id: string, flags: TaskKillFlags): Promise<void> {
  const { signal, all = false, exec: execId = "" } = flags;
  await session.tasks.kill(session.ctx, { containerId: id, execId, signal: signalNumber(signal), all });
}

/** Runs `ctrd tasks rm`: lets go of tasks that have ended. */
export async function deleteTasks({ tasks, ctx }: Session, ids: readonly string[]): Promise<void> {
  for (const containerId of ids) {
    const { exitStatus } = await tasks.delete(ctx, { containerId });
    process.stdout.write(`${containerId}: exit status ${exitStatus}\n`);
  }
}

interface ProcessRow {
  readonly pid: number;
  readonly command: string;
  readonly info: string;
}

const processColumns: readonly Column<ProcessRow>[] = [
  { name: "PID", title: "PID", value: ({ pid }) => pid },
  { name: "Command", title: "COMMAND", value: ({ command }) => command },
  { name: "Info", title: "INFO", value: ({ info }) => info },
];

/** Runs `ctrd tasks ps`: all processes of a task; what they are is known on the daemon's machine. */
export async function listProcesses({ tasks, ctx }: Session, id: string, flags: OutputFlags): Promise<void> {
  const { processes } = await tasks.listPids(ctx, { containerId: id });
  const rows: ProcessRow[] = [];
  for (const { pid, info } of processes) {
    rows.push({ pid, command: await commandOf(pid), info: info === undefined ? "" : typeName(info.typeUrl) });
  }
  process.stdout.write(formatRows(rows, processColumns, flags));
}

/** Runs `ctrd tasks metrics`: what a task uses, as its shim counts it. */
export async function taskMetrics({ tasks, ctx }: Session, id: string): Promise<void> {
  const { metrics } = await tasks.metrics(ctx, { filters: [`id==${id}`] });
  const [metric] = metrics;
  if (metric === undefined)
    throw new CommandFailure(`no task "${id}" runs`, { remedy: "list all with: ctrd tasks ls" });
  const type = metric.data === undefined ? "none" : typeName(metric.data.typeUrl);
  const measured = measure(metric.data);
  process.stdout.write(`${toJson({ ID: id, Time: formatTime(metric.timestamp), Type: type, ...measured }, 2)}\n`);
}

function measure(data: Parameters<typeof measurementOf>[0]): Record<string, unknown> {
  try {
    const measured = measurementOf(data);
    if (measured === undefined) return {};
    const { cpuNanos, memory, memoryLimit, pids, readBytes, writtenBytes } = measured;
    const limit = memoryLimit === 0n ? null : memoryLimit;
    const io = { ReadBytes: readBytes, WrittenBytes: writtenBytes };
    return { CPUNanoseconds: cpuNanos, Memory: memory, MemoryLimit: limit, PIDs: pids, ...io };
  } catch (error) {
    // Metrics are the shim's own: what cannot be read is said so, and the rest is shown.
    return { Unreadable: messageOf(error) };
  }
}
