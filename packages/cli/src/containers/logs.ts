/**
 * `logs` and `attach`.
 *
 * @module
 */
import { constants, openSync } from "node:fs";
import { access } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Container, Task } from "@ctrd/client";
import { errnoOf, isKind } from "@ctrd/core/errors";
import { CommandFailure } from "../failure.ts";
import { parseTime } from "../output/times.ts";
import type { LogRecord } from "../logs/log-writer.ts";
import { logFileName } from "../logs/log-writer.ts";
import { bytesOf, isEnd, LogReader } from "../logs/log-reader.ts";
import type { Session } from "../session.ts";
import { defaultDetachKeys } from "./detach-keys.ts";
import { directoryOf } from "./directory.ts";
import { findContainer } from "./find.ts";
import { inForeground } from "./foreground.ts";
import { nameOf, shortId } from "./labels.ts";
import { runningTask } from "./lifecycle.ts";
import { hasRestartPolicy } from "./restart.ts";
import { stateOf } from "./state.ts";

/** Flags of `ctrd logs`. */
export interface LogsFlags {
  follow?: boolean;
  timestamps?: boolean;
  tail?: string;
  since?: string;
  until?: string;
}

/** Runs `ctrd logs`. */
export async function logs(session: Session, name: string, flags: LogsFlags): Promise<void> {
  const container = await findContainer(session, name);
  const directory = await logDirectory(container);
  const print = printer(flags.timestamps === true);
  const [since, until] = [timeText("--since", flags.since), timeText("--until", flags.until)];
  const fits = ({ time }: LogRecord): boolean => (!since || time >= since) && (!until || time <= until);
  await using reader = new LogReader(directory);
  const tail = new Tail(tailOf(flags.tail));
  for await (const record of reader.existing()) {
    if (!isEnd(record) && fits(record)) tail.add(record, print);
  }
  tail.flush(print);
  if (flags.follow !== true) return;
  const ended = new AbortController();
  const watching = watchState(session, container, ended);
  for await (const record of reader.following(AbortSignal.any([session.signal, ended.signal]))) {
    if (!isEnd(record)) {
      if (fits(record)) print(record);
    } else if (!(await isRunning(session, container))) break;
  }
  ended.abort();
  await watching;
}

/** How often it is looked whether a container with a restart policy was stopped between two runs. */
const watchMs = 1_000;

/** The log may have ended before we came: then nobody writes the record that we would wait for. */
async function watchState(session: Session, container: Container, ended: AbortController): Promise<void> {
  while (await isRunning(session, container)) {
    if (!hasRestartPolicy(container.labels)) return;
    // Aborted: the loop ends.
    await sleep(watchMs, undefined, { signal: ended.signal }).catch(() => {});
    if (ended.signal.aborted) return;
    await container.info();
  }
  ended.abort();
}

async function isRunning(session: Session, container: Container): Promise<boolean> {
  try {
    const { state } = await stateOf(session, container);
    return ["running", "paused", "restarting"].includes(state);
  } catch (error) {
    if (isKind(error, "not-found")) return false;
    throw error;
  }
}

async function logDirectory(container: Container): Promise<string> {
  const directory = directoryOf(container);
  const name = nameOf(container.labels) || shortId(container.id);
  if (directory !== undefined) {
    try {
      await access(join(directory, logFileName));
      return directory;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  throw new CommandFailure(`nothing is kept of the output of container "${name}"`, {
    remedy: "logs are kept of what ctrd run and ctrd start began, unless it is in front with --rm",
  });
}

/** The last lines of a log; all when there is no limit. A line may be several records. */
class Tail {
  readonly #limit: number;
  readonly #lines: LogRecord[][] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(record: LogRecord, print: (record: LogRecord) => void): void {
    if (this.#limit === Infinity) return print(record);
    const last = this.#lines.at(-1);
    const before = last?.at(-1);
    if (last !== undefined && before !== undefined && !endsLine(before)) last.push(record);
    else this.#lines.push([record]);
    if (this.#lines.length > this.#limit) this.#lines.shift();
  }

  flush(print: (record: LogRecord) => void): void {
    for (const record of this.#lines.flat()) print(record);
  }
}

function endsLine(record: LogRecord): boolean {
  return record.log?.endsWith("\n") ?? bytesOf(record).at(-1) === 0x0a;
}

function tailOf(text: string | undefined): number {
  if (text === undefined || text === "all") return Infinity;
  if (!/^\d+$/.test(text)) throw new CommandFailure(`--tail needs a number or all, got ${JSON.stringify(text)}`);
  return Number(text);
}

function timeText(flag: string, text: string | undefined): string | undefined {
  const millis = parseTime(flag, text);
  return millis === undefined ? undefined : new Date(millis).toISOString();
}

function printer(timestamps: boolean): (record: LogRecord) => void {
  return (record) => {
    const target = record.stream === "stderr" ? process.stderr : process.stdout;
    if (timestamps) target.write(`${record.time} `);
    target.write(bytesOf(record));
  };
}

/** Flags of `ctrd attach`. */
export interface AttachFlags {
  stdin?: boolean;
  detachKeys?: string;
  sigProxy?: boolean;
}

/** Runs `ctrd attach`: output as it comes, and our input if the container has any. Sets the exit code. */
export async function attach(session: Session, name: string, flags: AttachFlags): Promise<void> {
  const container = await findContainer(session, name);
  const task = await runningTask(session, container);
  const directory = await logDirectory(container);
  const request = { containerId: container.id, execId: "" };
  const { process: found } = await session.tasks.get(session.ctx, request);
  const { stdin = "", terminal = false } = found ?? {};
  await using reader = new LogReader(directory);
  await reader.skip();
  const ended = new AbortController();
  const copying = copyLog(reader, ended.signal);
  const input = stdin === "" || flags.stdin === false ? undefined : openInput(stdin);
  if (input !== undefined && !terminal) input.on("finish", () => void endInput(task));
  session.interruption.release();
  const end = await inForeground(task, {
    terminal,
    stdin: input,
    detachKeys: flags.detachKeys ?? defaultDetachKeys,
    forwardSignals: flags.sigProxy ?? true,
  });
  if (end !== "detached") {
    await Promise.race([copying, new Promise((resolve) => setTimeout(resolve, lastOutputMs).unref())]);
    process.exitCode = end.exitCode;
  }
  ended.abort();
  await copying;
  input?.destroy();
}

/** How long the last output may take after the process has ended. */
const lastOutputMs = 2_000;

async function copyLog(reader: LogReader, signal: AbortSignal): Promise<void> {
  const print = printer(false);
  for await (const record of reader.following(signal)) {
    if (isEnd(record)) return;
    print(record);
  }
}

/** Fails when nobody reads any more, rather than waiting for somebody who does. */
function openInput(path: string): Socket {
  return new Socket({ fd: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK), readable: false, writable: true });
}

async function endInput(task: Task): Promise<void> {
  try {
    await task.closeIo();
  } catch (error) {
    // It has ended, and its input with it.
    if (!isKind(error, "not-found") && !isKind(error, "failed-precondition")) throw error;
  }
}
