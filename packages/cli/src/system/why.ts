/**
 * `ctrd why`: what becomes of a container, an image or an upload: what is done with it now, and what was.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Container, ProcessStatus } from "@ctrd/client";
import { isKind, messageOf } from "@ctrd/core/errors";
import { findContainer } from "../containers/find.ts";
import { nameOf, shortId } from "../containers/labels.ts";
import { stateOf } from "../containers/state.ts";
import { probeSocket, socketOf } from "../doctor/bundles.ts";
import { textOf } from "../doctor/files.ts";
import { commandOf, isAlive, shimsOf } from "../doctor/processes.ts";
import type { DoctorScope } from "../doctor/scope.ts";
import { openScope } from "../doctor/scope.ts";
import { CommandFailure } from "../failure.ts";
import type { OperationRecord } from "@ctrd/core/operations";
import { toJson } from "../output/format.ts";
import { formatSpan } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { operationsOf } from "./operations.ts";
import type { Account } from "./why-others.ts";
import { describeOperations, describeOther } from "./why-others.ts";

/** Flags of `ctrd why`. */
export interface WhyFlags {
  json?: boolean;
}

/** Runs `ctrd why`. */
export async function why(session: Session, name: string, flags: WhyFlags): Promise<void> {
  const operations = (await operationsOf(session, false)) ?? [];
  const account: Account = { facts: {}, verdict: [], next: [] };
  await describe(session, name, operations, account);
  if (flags.json === true) {
    const { facts, verdict, next } = account;
    process.stdout.write(`${toJson({ ...facts, Verdict: verdict, Next: next })}\n`);
    return;
  }
  // Operations are in the verdict.
  const facts = Object.entries(account.facts).filter(([key]) => key !== "Operations");
  const lines = facts.map(([key, value]) => `${`${key}:`.padEnd(12)}${plain(value)}`.trimEnd());
  const next = account.next.length === 0 ? [] : ["Next:", ...account.next.map((command) => `  ${command}`)];
  process.stdout.write(`${[...account.verdict, "", ...lines, ...next].join("\n")}\n`);
}

async function describe(
  session: Session,
  name: string,
  operations: readonly OperationRecord[],
  account: Account,
): Promise<void> {
  let container: Container;
  try {
    container = await findContainer(session, name);
  } catch (error) {
    if (!(error instanceof CommandFailure) || !(await describeOther(session, name, operations, account))) throw error;
    return;
  }
  await describeRecord(session, container, account);
  const object = { kind: "container", id: container.id };
  const isMaking = describeOperations(session, object, operations, account).some(({ name: what }) => isCreation(what));
  // The daemon would not answer before the task is there.
  const status = isMaking ? undefined : await describeTask(session, container, account);
  await describeMachine(session, container, status, account, isMaking);
}

const isCreation = (operation: string): boolean => operation === "Tasks/Create";

function plain(value: unknown): string {
  return typeof value === "string" ? value : toJson(value);
}

async function describeRecord(session: Session, container: Container, { facts }: Account): Promise<void> {
  const info = await container.info({ signal: session.signal });
  facts["Container"] = container.id;
  facts["Name"] = nameOf(container.labels);
  facts["Image"] = info.image;
  facts["Runtime"] = info.runtime?.name ?? "";
  facts["Snapshot"] =
    info.snapshotKey === "" ? "none" : await snapshotState(session, info.snapshotter, info.snapshotKey);
}

async function snapshotState(session: Session, snapshotter: string, key: string): Promise<string> {
  try {
    await session.snapshotters.get(snapshotter).stat(session.ctx, key);
    return `${shortId(key)} (${snapshotter})`;
  } catch (error) {
    if (isKind(error, "not-found")) return `${shortId(key)} (${snapshotter}) is gone: the container cannot start`;
    throw error;
  }
}

/** How long a task may take to tell its state, in milliseconds. */
const answerMs = 5_000;

/** The task as the daemon has it; undefined without one. */
async function describeTask(
  session: Session,
  container: Container,
  account: Account,
): Promise<ProcessStatus | undefined> {
  const { facts, verdict, next } = account;
  const word = nameOf(container.labels) || shortId(container.id);
  try {
    const signal = AbortSignal.any([session.signal, AbortSignal.timeout(answerMs)]);
    const task = await container.task({ signal });
    const status = await task.status({ signal });
    facts["Task"] = `${status.state}, process ${status.pid}`;
    if (status.state === "stopped") {
      verdict.push(`It has ended ${ageOf(status.exitedAt)}with ${exitReason(status.exitCode)}.`);
      next.push(`ctrd logs ${word}`, `ctrd start ${word}`);
    } else {
      verdict.push(stateSentence(status.state));
      if (status.state === "created") next.push(`ctrd start ${word}`, `ctrd rm -f ${word}`);
      if (status.state === "paused") next.push(`ctrd unpause ${word}`);
    }
    return status;
  } catch (error) {
    if (!isKind(error, "not-found")) {
      facts["Task"] = `the daemon cannot say: ${messageOf(error)}`;
      verdict.push("Its task does not answer.");
      next.push("ctrd doctor");
      return undefined;
    }
  }
  facts["Task"] = "none";
  const { state, exitCode, exitedAt } = await stateOf(session, container);
  if (state !== "exited") verdict.push("It was never started, or another client has removed its task.");
  else verdict.push(`It has ended ${ageOf(exitedAt)}with ${exitReason(exitCode ?? 0)}.`);
  next.push(...(state === "exited" ? [`ctrd logs ${word}`] : []), `ctrd start ${word}`);
  return undefined;
}

function stateSentence(state: ProcessStatus["state"]): string {
  switch (state) {
    case "running":
      return "It runs.";
    case "created":
      return "Its task was created and not started: whoever made it has died in between, or is about to start it.";
    case "paused":
      return "All of its processes are held.";
    case "pausing":
      return "Its processes are being held.";
    default:
      return "Its shim does not know what state it is in.";
  }
}

function ageOf(time: Date | undefined): string {
  return time === undefined ? "" : `${formatSpan(Date.now() - time.getTime())} ago `;
}

const signals: ReadonlyMap<number, string> = new Map([
  [1, "SIGHUP: its terminal has gone"],
  [2, "SIGINT"],
  [6, "SIGABRT: it has given itself up"],
  [7, "SIGBUS: it has used memory that is not there"],
  [9, "SIGKILL: somebody has killed it, or the kernel when memory was short"],
  [11, "SIGSEGV: it has crashed"],
  [13, "SIGPIPE: nobody read what it wrote"],
  [15, "SIGTERM: somebody has asked it to stop"],
]);
/** Exit codes above are signals. */
const firstSignal = 128;
/** What daemons say of a process whose end nobody has seen. */
const lost = 255;

function exitReason(code: number): string {
  if (code === 0) return "exit code 0, as it wanted";
  if (code === lost) return "exit code 255 (its own, or its shim was lost)";
  const signal = code > firstSignal ? signals.get(code - firstSignal) : undefined;
  if (signal !== undefined) return `exit code ${code}, by ${signal}`;
  if (code === 126) return "exit code 126 (as shells say: a program that cannot be run)";
  if (code === 127) return "exit code 127 (as shells say: a program that is not there)";
  return `exit code ${code}, its own`;
}

/** What the machine shows, when this is the daemon's. */
async function describeMachine(
  session: Session,
  container: Container,
  status: ProcessStatus | undefined,
  account: Account,
  isMaking: boolean,
): Promise<void> {
  const scope = await scopeOf(session);
  if (scope === undefined) return;
  const { facts, verdict, next } = account;
  const bundle = {
    namespace: session.client.namespace,
    id: container.id,
    path: join(scope.bundles, session.client.namespace, container.id),
  };
  const shims = await shimsOf(scope.socket);
  const shim = shims.find(({ namespace, id }) => namespace === bundle.namespace && id === container.id);
  const hasBundle = existsSync(bundle.path);
  facts["Bundle"] = hasBundle ? bundle.path : "none";
  const socket = hasBundle ? await socketOf(bundle) : undefined;
  facts["Shim"] = hasBundle || shim !== undefined ? await shimText(shim?.pid, socket) : "none";
  if (status !== undefined && socket !== undefined && (await probeSocket(socket)) !== "served") {
    verdict.unshift("Its shim is gone: the daemon will notice, or restart it.");
    next.push("ctrd doctor");
  }
  if (status === undefined && !isMaking && (hasBundle || shim !== undefined)) {
    verdict.unshift(
      "Something of a task is there that the daemon does not have: one that is being made, or left over.",
    );
    next.push("ctrd doctor");
  }
  const kills = await oomKills(container);
  if (kills > 0)
    verdict.push(`The kernel has killed in it because its memory limit was met (processes killed: ${kills}).`);
  if (status === undefined || status.pid === 0 || status.state === "stopped") return;
  const alive = await isAlive(status.pid);
  facts["Process"] = alive ? `${status.pid} ${await commandOf(status.pid)}` : `${status.pid} is gone`;
  if (!alive && status.state === "running") verdict.unshift("Its process is gone, and its shim has not said so yet.");
}

/** Undefined when the daemon runs on another machine. */
async function scopeOf(session: Session): Promise<DoctorScope | undefined> {
  try {
    return await openScope(session, {});
  } catch (error) {
    if (error instanceof CommandFailure) return undefined;
    throw error;
  }
}

async function shimText(pid: number | undefined, socket: string | undefined): Promise<string> {
  const process = pid === undefined ? "no process of its own" : `process ${pid}`;
  if (socket === undefined) return process;
  const state = { served: "answers", dead: "nobody listens", missing: "missing" }[await probeSocket(socket)];
  return `${process}, socket ${socket} (${state})`;
}

/** How often the kernel has killed in the memory cgroup of a container; 0 when that is gone, or does not count it. */
async function oomKills(container: Container): Promise<number> {
  const path = (await container.spec()).linux?.cgroupsPath ?? "";
  // systemd's paths have another form.
  if (!path.startsWith("/")) return 0;
  const counts = await Promise.all([
    textOf(`/sys/fs/cgroup${path}/memory.events`),
    textOf(`/sys/fs/cgroup/memory${path}/memory.oom_control`),
  ]);
  return Math.max(...counts.map((text) => Number(/^oom_kill (\d+)$/m.exec(text ?? "")?.[1] ?? 0)));
}
