/**
 * Finding plugins, and running one to its end.
 *
 * @module
 */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import { canceled, deadlineExceeded, errnoOf, failedPrecondition, messageOf, notFound } from "@ctrd/core/errors";
import type { ProgramResult } from "@ctrd/sys";
import { runProgram } from "@ctrd/sys";

/** What a plugin left. */
export interface PluginOutput {
  /** What ended it: an exit code, or a signal. */
  readonly exit: number | string;
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
  const { path, env, stdin, timeoutMs, signal, what } = run;
  let result: ProgramResult;
  try {
    const limits = { timeoutMs, maxOutput: outputLimit, onOverflow: "kill", ...(signal && { signal }) } as const;
    result = await runProgram({ path, args: [], cwd: "/", env, input: stdin, ...limits });
  } catch (cause) {
    if (signal?.aborted === true) throw canceled(what, { cause: signal.reason });
    throw failedPrecondition(`${what}: ${path} cannot be started: ${messageOf(cause)}`, { cause });
  }
  const { end } = result;
  if (end.kind === "timed out") throw deadlineExceeded(`${what}: not done after ${timeoutMs} ms, killed`);
  if (end.kind === "too much output") throw failedPrecondition(`${what}: it wrote more than ${outputLimit} bytes`);
  const exit = end.kind === "exited" ? end.code : end.signal;
  return { exit, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
}
