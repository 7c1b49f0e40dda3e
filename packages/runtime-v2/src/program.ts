/**
 * Runs a shim binary to its end.
 *
 * @module
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { deadlineExceeded, notFound, unknownError } from "@ctrd/core/errors";
import { closeOnExecFrom, killGroup } from "@ctrd/sys";

/** A run. */
export interface ProgramRun {
  path: string;
  args: readonly string[];
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  input?: Uint8Array;
  /** Kills the program after this many milliseconds. */
  timeoutMs?: number;
  /** Kills the program when it aborts. */
  signal?: AbortSignal;
}

/** What a program left. */
export interface ProgramResult {
  /** `128 + signal` does not occur: a program that a signal ended has exit code -1 and `signal`. */
  exitCode: number;
  signal: NodeJS.Signals | undefined;
  stdout: Buffer;
  stderr: Buffer;
  /** Both outputs in order of arrival. */
  combined: Buffer;
}

/** Most bytes of output that are kept; a shim answers in a few hundred. */
const outputLimit = 4 * 1024 * 1024;
/** How long output is awaited after the exit: a descendant may hold the pipe open. */
const lateOutputMs = 500;

/**
 * Runs a program in a process group (and session) of its own, with descriptors 0, 1, 2 and no other.
 *
 * @throws ContainerdError `not-found` when it cannot be found, `deadline-exceeded` after `timeoutMs`, the reason of
 * `signal` when that aborts, `unknown` when it cannot be started
 */
export async function runProgram(run: ProgramRun): Promise<ProgramResult> {
  // libuv opens everything close-on-exec, but the daemon may itself have inherited descriptors, and native code opens more.
  closeOnExecFrom(3);
  // Without free descriptors the streams are missing and only "error" follows, hence the general type.
  const child: ChildProcess = spawn(run.path, run.args, {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    ...(run.cwd === undefined ? {} : { cwd: run.cwd }),
    ...(run.env === undefined ? {} : { env: run.env }),
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const combined: Buffer[] = [];
  let size = 0;
  const collect = (target: Buffer[]) => (chunk: Buffer) => {
    size += chunk.length;
    if (size > outputLimit) return;
    target.push(chunk);
    combined.push(chunk);
  };
  child.stdout?.on("data", collect(stdout));
  child.stderr?.on("data", collect(stderr));
  // A program that does not read its input makes EPIPE; its exit code tells what happened.
  child.stdin?.on("error", () => {});
  child.stdin?.end(run.input);

  const { promise, resolve, reject } = Promise.withResolvers<{ code: number | null; signal: NodeJS.Signals | null }>();
  const kill = (reason: unknown): void => {
    killGroup(child);
    reject(reason);
  };
  const abort = (): void => kill(run.signal?.reason);
  run.signal?.addEventListener("abort", abort, { once: true });
  if (run.signal?.aborted === true) abort();
  const timer =
    run.timeoutMs === undefined
      ? undefined
      : setTimeout(() => kill(deadlineExceeded(`run ${commandLine(run)} for ${run.timeoutMs} ms`)), run.timeoutMs);
  let lateTimer: NodeJS.Timeout | undefined;
  child.once("error", (error) => reject(startError(run, error)));
  child.once("close", (code, signal) => resolve({ code, signal }));
  child.once("exit", (code, signal) => {
    lateTimer = setTimeout(() => resolve({ code, signal }), lateOutputMs);
  });
  try {
    const { code, signal } = await promise;
    return {
      exitCode: code ?? -1,
      signal: signal ?? undefined,
      stdout: Buffer.concat(stdout),
      stderr: Buffer.concat(stderr),
      combined: Buffer.concat(combined),
    };
  } finally {
    clearTimeout(timer);
    clearTimeout(lateTimer);
    run.signal?.removeEventListener("abort", abort);
    child.stdout?.destroy();
    child.stderr?.destroy();
  }
}

/** Command line for messages. */
export function commandLine(run: ProgramRun): string {
  return [run.path, ...run.args].join(" ");
}

/** The error of a run whose exit code is not 0; its message holds what the program said. */
export function exitError(run: ProgramRun, result: ProgramResult, said: Buffer = result.combined): Error {
  const how = result.signal === undefined ? `exit code ${result.exitCode}` : `signal ${result.signal}`;
  return unknownError(`${commandLine(run)}: ${how}: ${said.toString().trim()}`);
}

function startError(run: ProgramRun, error: NodeJS.ErrnoException): Error {
  const message = `start ${commandLine(run)} in ${run.cwd ?? "the working directory"}`;
  return error.code === "ENOENT" ? notFound(message, { cause: error }) : unknownError(message, { cause: error });
}
