/** Running programs: every test goes through here, so that a failure always shows the command and its output. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

export interface CommandResult {
  readonly command: string;
  /** Exit code; 128 + n is not used, a signal death is `null`. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Record<string, string | undefined>;
  readonly cwd?: string;
  /** Kills the program with SIGKILL after this long; default 60 s. */
  readonly timeoutMs?: number;
}

/** Runs a program to its end. Never throws because of the exit code. */
export async function run(file: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const child = start(file, args, options);
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  child.stdin?.on("error", () => undefined); // EPIPE: the program did not want its input
  child.stdin?.end(options.input ?? "");
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? 60_000);
  const code = await exited(child);
  clearTimeout(timer);
  return { command: [file, ...args].join(" "), code, stdout: await stdout, stderr: await stderr };
}

/** Runs a program and returns its stdout. @throws when it does not exit with 0 */
export async function runOk(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await run(file, args, options);
  if (result.code !== 0) throw new Error(describe(result));
  return result.stdout;
}

/** Starts a program and leaves it running. */
export function start(file: string, args: readonly string[], options: CommandOptions = {}): ChildProcess {
  return spawn(file, args, {
    cwd: options.cwd ?? "/",
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
}

/** Resolves with the exit code, also when the program has ended already. */
export async function exited(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
}

/** One line for people: the command, how it ended, what it said. */
export function describe(result: CommandResult): string {
  return `${result.command}\n  exit code ${result.code}\n  stdout: ${result.stdout.trim()}\n  stderr: ${result.stderr.trim()}`;
}

/** Polls until `probe` returns something other than undefined or false. @throws with `what` after `timeoutMs` */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 10_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`gave up after ${timeoutMs} ms waiting until ${what}`);
    await sleep(25);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** Absolute path of a program, searched in PATH and the system directories; undefined when missing. */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env["PATH"] ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  for (const directory of name.startsWith("/") ? ["/"] : directories) {
    try {
      const path = join(directory, name);
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

function collect(stream: NodeJS.ReadableStream | null): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    stream?.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream?.on("close", () => resolve(Buffer.concat(chunks).toString("utf8")));
  });
}
