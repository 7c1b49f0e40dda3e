/**
 * Arguments, directory, terminal and limits of the process.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import type { SpecOption } from "./context.ts";
import { processOf } from "./context.ts";
import { requireInteger } from "./integers.ts";
import { requireAbsolute } from "./paths.ts";
import type { SpecInteger } from "./spec.ts";

/** No limit, in a resource limit. */
export const rlimitInfinity: bigint = 2n ** 64n - 1n;

/** Replaces the arguments. */
export function withProcessArgs(...args: readonly string[]): SpecOption {
  if (args.some((arg) => arg.includes("\0"))) throw invalidArgument("process argument contains a zero byte");
  return (_context, spec) => {
    processOf(spec).args = [...args];
  };
}

/** Sets the working directory. */
export function withCwd(path: string): SpecOption {
  requireAbsolute("working directory", path);
  return (_context, spec) => {
    processOf(spec).cwd = path;
  };
}

/** Gives the process a terminal. `TERM` is `xterm` unless it is set already. */
export function withTty(size?: { height: number; width: number }): SpecOption {
  return (_context, spec) => {
    const process = processOf(spec);
    process.terminal = true;
    const { env = [] } = process;
    process.env = env.some((entry) => entry.startsWith("TERM=")) ? env : [...env, "TERM=xterm"];
    if (size !== undefined) process.consoleSize = { ...size };
  };
}

/** Sets the host name. It needs a UTS namespace of the container's own. */
export function withHostname(name: string): SpecOption {
  requireHostname("host name", name);
  return (_context, spec) => {
    spec.hostname = name;
  };
}

/** Sets the NIS domain name. */
export function withDomainname(name: string): SpecOption {
  requireHostname("domain name", name);
  return (_context, spec) => {
    spec.domainname = name;
  };
}

/** Whether `execve` may give the process more rights (set-user-id programs). The default spec forbids it. */
export function withNoNewPrivileges(forbidden = true): SpecOption {
  return (_context, spec) => {
    processOf(spec).noNewPrivileges = forbidden;
  };
}

/** How readily the kernel kills the process when memory is short, -1000 … 1000. */
export function withOomScoreAdj(score: number): SpecOption {
  if (!Number.isInteger(score) || Math.abs(score) > 1000) throw invalidArgument(`OOM score ${score} is not in ±1000`);
  return (_context, spec) => {
    processOf(spec).oomScoreAdj = score;
  };
}

/** Sets a resource limit such as `RLIMIT_NOFILE` (or `nofile`), in place of one of that type. */
export function withRlimit(type: string, soft: SpecInteger, hard: SpecInteger = soft): SpecOption {
  const upper = type.toUpperCase();
  const name = upper.startsWith("RLIMIT_") ? upper : `RLIMIT_${upper}`;
  if (!/^RLIMIT_[A-Z]+$/.test(name)) throw invalidArgument(`resource limit "${type}" is no name of getrlimit(2)`);
  for (const value of [soft, hard]) requireInteger(name, value, 0n, rlimitInfinity);
  if (BigInt(soft) > BigInt(hard))
    throw invalidArgument(`${name}: the soft limit ${soft} is above the hard one ${hard}`);
  return (_context, spec) => {
    const process = processOf(spec);
    const limits = [...(process.rlimits ?? [])];
    const place = limits.findIndex((limit) => limit.type === name);
    limits[place === -1 ? limits.length : place] = { type: name, hard, soft };
    process.rlimits = limits;
  };
}

function requireHostname(what: string, name: string): void {
  if (Buffer.byteLength(name) > 64 || /[\0\n/\s]/.test(name)) {
    throw invalidArgument(
      `${what} ${JSON.stringify(name)} is longer than 64 bytes or has a character that it must not`,
    );
  }
}
