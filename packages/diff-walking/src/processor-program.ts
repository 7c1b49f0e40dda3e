/**
 * One run of a stream processor's program.
 *
 * @module
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import type { Writable } from "node:stream";
import { errnoOf, messageOf } from "@ctrd/core/errors";
import { closeOnExecFrom, killGroup } from "@ctrd/sys";

/** A program between two files. */
export interface ProgramRun {
  readonly path: string;
  readonly args: readonly string[];
  /** Added to the environment: `NAME=value`. */
  readonly env: readonly string[];
  /** What it finds on descriptor 3. */
  readonly payload?: Uint8Array;
  /** File for its stdin. */
  readonly input: string;
  /** File for its stdout, which is made. */
  readonly output: string;
  readonly maxSize: number;
  readonly signal: AbortSignal;
}

/** How a run ended. */
export type RunEnd =
  | { readonly kind: "ended" }
  | { readonly kind: "too large" }
  /** `cannot start`, or another exit code than 0. */
  | { readonly kind: "cannot start" | "failed"; readonly message: string };

/** Most bytes of stderr that an error tells. */
const maxComplaint = 4 * 1024;
/** How often the size of the output is looked at. */
const lookMs = 100;
/** How long stderr is awaited after the exit: something that the program started may hold it open. */
const lateOutputMs = 200;

/** Runs the program, in a process group of its own, to its end. @throws the reason of `signal` */
export async function pipeThrough(run: ProgramRun): Promise<RunEnd> {
  run.signal.throwIfAborted();
  await using input = await open(run.input, "r");
  await using output = await open(run.output, "wx", 0o600);
  const result = await runBetween(run, input, output);
  const { size } = await output.stat();
  return size > run.maxSize ? { kind: "too large" } : result;
}

async function runBetween(run: ProgramRun, input: FileHandle, output: FileHandle): Promise<RunEnd> {
  closeOnExecFrom(3);
  const environment = run.env.map((entry): [string, string] => {
    const at = entry.indexOf("=");
    return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
  });
  // Without free descriptors the streams are missing and only "error" follows, hence the general type.
  const child: ChildProcess = spawn(run.path, run.args, {
    stdio: [input.fd, output.fd, "pipe", ...(run.payload === undefined ? [] : ["pipe" as const])],
    env: { ...process.env, ...Object.fromEntries(environment) },
    detached: true,
  });
  let complaint = "";
  child.stderr?.on("data", (data: Buffer) => {
    complaint = (complaint + data.toString()).slice(-maxComplaint);
  });
  const payload = child.stdio[3] as Writable | null | undefined;
  // A program that does not read it makes EPIPE.
  payload?.on("error", () => {});
  payload?.end(run.payload);
  const { promise, resolve, reject } = Promise.withResolvers<RunEnd>();
  const finish = (code: number | null, signal: NodeJS.Signals | null): void => {
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
    resolve(code === 0 ? { kind: "ended" } : { kind: "failed", message: `failed (${how}): ${complaint.trim()}` });
  };
  const abort = (): void => (reject(run.signal.reason), killGroup(child));
  run.signal.addEventListener("abort", abort, { once: true });
  let late: NodeJS.Timeout | undefined;
  child.once("error", (error) => resolve({ kind: "cannot start", message: `cannot be started: ${messageOf(error)}` }));
  child.once("close", finish);
  child.once("exit", (code, signal) => {
    late = setTimeout(() => finish(code, signal), lateOutputMs);
  });
  const look = setInterval(() => void killLarge(child, output, run.maxSize), lookMs);
  try {
    return await promise;
  } finally {
    clearInterval(look);
    clearTimeout(late);
    run.signal.removeEventListener("abort", abort);
    for (const stream of child.stdio) stream?.destroy();
  }
}

async function killLarge(child: ChildProcess, output: FileHandle, maxSize: number): Promise<void> {
  if (maxSize === Infinity) return;
  try {
    if ((await output.stat()).size > maxSize) killGroup(child);
  } catch (error) {
    // The run has ended meanwhile.
    if (errnoOf(error) !== "EBADF") throw error;
  }
}
