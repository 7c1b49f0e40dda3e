/**
 * Finding plugins, and running one to its end.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import { canceled, deadlineExceeded, errnoOf, failedPrecondition, notFound } from "@ctrd/core/errors";
import { killGroup } from "@ctrd/sys";

/** What a plugin left. */
export interface PluginOutput {
  /** What ended it: an exit code, or a signal. */
  readonly exit: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

/** A call of a plugin. */
export interface PluginRun {
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** For messages. */
  readonly what: string;
}

/** A result is a few kilobytes; a plugin that writes more is broken. */
const outputLimit = 4 * 1024 * 1024;
/** Output may come late: what a plugin has started may hold its pipes. */
const lateOutputMs = 500;
/** The programs that plugins run, as iptables, are here also where a daemon's own path is short. */
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Finds the program of a plugin. @throws ContainerdError `not-found` that names the directories */
export async function findPlugin(type: string, directories: readonly string[], what: string): Promise<string> {
  for (const directory of directories) {
    const path = join(directory, type);
    if (await isProgram(path)) return path;
  }
  throw notFound(
    `${what}: plugin "${type}" is not in ${directories.join(", ") || "any directory"} ` +
      `(install CNI plugins, Debian's package is containernetworking-plugins, or name their directory)`,
  );
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

/** The environment of a plugin: the variables of the protocol and a path, nothing of ours. */
export function pluginEnvironment(variables: Readonly<Record<string, string>>): Record<string, string> {
  return { PATH: [process.env["PATH"], systemPath].filter(Boolean).join(":"), ...variables };
}

/**
 * Runs a plugin. It and what it has started are killed when it takes too long, writes too much, or is not wanted any more.
 *
 * @throws ContainerdError `deadline-exceeded`, `canceled`, `failed-precondition` when it cannot be started
 */
export async function runPlugin(run: PluginRun): Promise<PluginOutput> {
  const { signal, what } = run;
  if (signal?.aborted === true) throw canceled(what, { cause: signal.reason });
  const child = spawn(run.path, [], { cwd: "/", env: run.env, stdio: ["pipe", "pipe", "pipe"], detached: true });
  const { promise, resolve, reject } = Promise.withResolvers<number | NodeJS.Signals>();
  const end = (error: unknown): void => {
    killGroup(child);
    reject(error);
  };
  const stdout = collect(child.stdout, () =>
    end(failedPrecondition(`${what}: it wrote more than ${outputLimit} bytes`)),
  );
  const stderr = collect(child.stderr, () => {});
  // A plugin that does not read its input makes EPIPE; its exit code tells what happened.
  child.stdin.on("error", () => {});
  child.stdin.end(run.stdin);
  const abort = (): void => end(canceled(what, { cause: signal?.reason }));
  signal?.addEventListener("abort", abort, { once: true });
  const timer = setTimeout(
    () => end(deadlineExceeded(`${what}: not done after ${run.timeoutMs} ms, killed`)),
    run.timeoutMs,
  );
  let late: NodeJS.Timeout | undefined;
  child.once("error", (cause) =>
    reject(failedPrecondition(`${what}: ${run.path} cannot be started: ${cause.message}`, { cause })),
  );
  child.once("exit", (code, by) => (late = setTimeout(() => resolve(code ?? by ?? -1), lateOutputMs)));
  child.once("close", (code, by) => resolve(code ?? by ?? -1));
  try {
    return { exit: await promise, stdout: stdout(), stderr: stderr() };
  } finally {
    clearTimeout(timer);
    clearTimeout(late);
    signal?.removeEventListener("abort", abort);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** Keeps what comes, up to the limit. */
function collect(stream: NodeJS.ReadableStream, overflow: () => void): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("data", (chunk: Buffer) => {
    const before = size;
    size += chunk.length;
    if (size <= outputLimit) chunks.push(chunk);
    else if (before <= outputLimit) overflow();
  });
  return () => Buffer.concat(chunks).toString();
}
