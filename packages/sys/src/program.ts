/**
 * Runs a program to its end.
 *
 * @module
 */
import { Socket } from "node:net";
import { constants } from "node:os";
import { close } from "./at.ts";
import { killGroup } from "./processes.ts";
import type { SpawnedEnd } from "./spawn.ts";
import { exitOf, pipe, spawnGroup } from "./spawn.ts";

/** A run of a program. */
export interface ProgramRun {
  /** Path of the program, or a name that is looked for in this process's `PATH`. */
  readonly path: string;
  readonly args: readonly string[];
  /** Its working directory; this process's when absent. */
  readonly cwd?: string;
  /** Its whole environment; this process's when absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What it reads from stdin; nothing when absent. */
  readonly input?: string | Uint8Array;
  /** Kills the program, and what it has started, after this many milliseconds. */
  readonly timeoutMs?: number;
  /** Kills the program, and what it has started, when it aborts. */
  readonly signal?: AbortSignal;
  /** Most bytes that are kept of each output; 4 MiB when absent. */
  readonly maxOutput?: number;
  /** What happens to a program that writes more: it is killed, or the rest is read and forgotten (when absent). */
  readonly onOverflow?: "kill" | "forget";
}

/** How a run ended. */
export type ProgramEnd =
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "signaled"; readonly signal: string }
  /** Killed after `timeoutMs`. */
  | { readonly kind: "timed out" }
  /** Killed for writing more than `maxOutput`. */
  | { readonly kind: "too much output" };

/** What a run left. */
export interface ProgramResult {
  /** Its process, which led a group and a session of its own. */
  readonly pid: number;
  readonly end: ProgramEnd;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** Both outputs in order of arrival. */
  readonly combined: Buffer;
}

const defaultMaxOutput = 4 * 1024 * 1024;
/** How long output is awaited after the exit: something that the program started may hold the pipe open. */
const lateOutputMs = 500;

/**
 * Runs a program in a process group (and session) of its own, with descriptors 0, 1, 2 and no other.
 *
 * @throws SysError when it cannot be started (see `spawnGroup`), or there are no descriptors for its pipes
 * @throws the reason of `signal`, after the kill
 */
export async function runProgram(run: ProgramRun): Promise<ProgramResult> {
  run.signal?.throwIfAborted();
  const { pid, pipes } = start(run);
  const group = { pid };
  const { promise: killed, resolve: kill, reject } = Promise.withResolvers<ProgramEnd>();
  const end = (reason: ProgramEnd): void => (killGroup(group), kill(reason));
  const abort = (): void => (killGroup(group), reject(run.signal?.reason));
  const outputs = new Outputs(run.maxOutput ?? defaultMaxOutput, () => {
    if (run.onOverflow === "kill") end({ kind: "too much output" });
  });
  const closed = Promise.all([outputs.read(pipes.stdout, "stdout"), outputs.read(pipes.stderr, "stderr")]);
  run.signal?.addEventListener("abort", abort, { once: true });
  const timer =
    run.timeoutMs === undefined ? undefined : setTimeout(() => end({ kind: "timed out" }), run.timeoutMs).unref();
  let late: NodeJS.Timeout | undefined;
  const ended = exitOf(pid).then(async (status) => {
    const patience = Promise.withResolvers<void>();
    late = setTimeout(patience.resolve, lateOutputMs);
    await Promise.race([closed, patience.promise]);
    return endOf(status);
  });
  try {
    return outputs.result(pid, await Promise.race([killed, ended]));
  } finally {
    clearTimeout(timer);
    clearTimeout(late);
    run.signal?.removeEventListener("abort", abort);
    for (const socket of Object.values(pipes)) socket.destroy();
  }
}

/** Whether a program exited with 0. */
export function succeeded(end: ProgramEnd): boolean {
  return end.kind === "exited" && end.code === 0;
}

/** How a run ended, for messages. */
export function describeEnd(end: ProgramEnd): string {
  if (end.kind === "exited") return `exit code ${end.code}`;
  return end.kind === "signaled" ? `signal ${end.signal}` : end.kind;
}

/** The command line of a run, for messages. */
export function commandLine(run: Pick<ProgramRun, "path" | "args">): string {
  return [run.path, ...run.args].join(" ");
}

interface Pipes {
  readonly stdin: Socket;
  readonly stdout: Socket;
  readonly stderr: Socket;
}

function start(run: ProgramRun): { pid: number; pipes: Pipes } {
  const ends: number[] = [];
  let pid: number;
  try {
    for (let count = 0; count < 3; count++) ends.push(...pipe());
    const [input = -1, , , output = -1, , errors = -1] = ends;
    pid = spawnGroup({ ...run, stdio: [input, output, errors] });
  } catch (error) {
    for (const fd of ends) close(fd);
    throw error;
  }
  const [input = -1, toInput = -1, fromOutput = -1, output = -1, fromErrors = -1, errors = -1] = ends;
  for (const fd of [input, output, errors]) close(fd);
  const stdin = new Socket({ fd: toInput, readable: false, writable: true });
  // A program that does not read its input makes EPIPE; its exit code tells what happened.
  stdin.on("error", () => {});
  stdin.end(run.input ?? "");
  return { pid, pipes: { stdin, stdout: readingSocket(fromOutput), stderr: readingSocket(fromErrors) } };
}

function readingSocket(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: false });
}

function endOf(status: SpawnedEnd): ProgramEnd {
  if ("code" in status) return { kind: "exited", code: status.code };
  const name = Object.entries(constants.signals).find(([, number]) => number === status.signal)?.[0];
  return { kind: "signaled", signal: name ?? `signal ${status.signal}` };
}

/** The beginning of each output. */
class Outputs {
  readonly #max: number;
  readonly #overflow: () => void;
  readonly #chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[], combined: [] as Buffer[] };

  constructor(max: number, overflow: () => void) {
    this.#max = max;
    this.#overflow = overflow;
  }

  /** Reads an output to its end. */
  read(socket: Socket, name: "stdout" | "stderr"): Promise<void> {
    let size = 0;
    socket.on("data", (chunk: Buffer) => {
      const kept = chunk.subarray(0, this.#max - size);
      size += kept.length;
      if (kept.length > 0) {
        this.#chunks[name].push(kept);
        this.#chunks.combined.push(kept);
      }
      if (kept.length < chunk.length) this.#overflow();
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    // Reading a pipe fails in no way that matters here: what came is kept.
    socket.on("error", () => resolve());
    socket.on("close", () => resolve());
    return promise;
  }

  result(pid: number, end: ProgramEnd): ProgramResult {
    const { stdout, stderr, combined } = this.#chunks;
    return {
      pid,
      end,
      stdout: Buffer.concat(stdout),
      stderr: Buffer.concat(stderr),
      combined: Buffer.concat(combined),
    };
  }
}
