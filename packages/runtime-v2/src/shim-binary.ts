/**
 * What shim binaries do: `start`, `delete`, `-info`.
 *
 * @module
 */
import { Any } from "@ctrd/api/google/protobuf/any";
import { DeleteResponse } from "@ctrd/api/runtime/task/v3/shim";
import { RuntimeInfo as RuntimeInfoMessage } from "@ctrd/api/types/introspection";
import { dataLoss, notImplemented } from "@ctrd/core/errors";
import type { Any as AnyRecord } from "@ctrd/core/records";
import type { RuntimeInfo, TaskExit } from "@ctrd/core/tasks";
import type { ProgramResult, ProgramRun } from "@ctrd/sys";
import { commandLine, succeeded } from "@ctrd/sys";
import type { Endpoint } from "./address.ts";
import type { BinaryLookup, ShimProgram } from "./binary-lookup.ts";
import type { StartEncoding, StartFacts } from "./bootstrap.ts";
import { encodeStartInput, parseStartOutput, refusesParams } from "./bootstrap.ts";
import type { Bundle } from "./bundle.ts";
import { exitError, runShimBinary } from "./program.ts";

/** Facts about the daemon that shims are told. */
export interface ShimSettings {
  /** The daemon's gRPC and ttrpc sockets. */
  grpcAddress: string;
  ttrpcAddress: string;
  daemonBinary: string;
  daemonVersion: string;
  debug: boolean;
  /** Added to the environment of `start`, as `NAME=value`. */
  env: readonly string[];
  /** Directory for shims' sockets; empty = the shim's own choice. */
  socketDir: string;
}

/** A shim that was started. */
export interface StartedShim {
  readonly endpoint: Endpoint;
  /** The session of its `start`, in which it is too unless it was there before or makes one of its own. */
  readonly session: number;
}

/**
 * Runs `start` for a bundle.
 *
 * @throws ContainerdError with what the shim printed, `deadline-exceeded` after `timeoutMs`
 */
export async function startShim(
  lookup: BinaryLookup,
  program: ShimProgram,
  bundle: Bundle,
  settings: ShimSettings,
  options: AnyRecord | undefined,
  timeoutMs: number | undefined,
): Promise<StartedShim> {
  const { run, result } = await runStart(program, program.encoding, bundle, settings, options, timeoutMs);
  if (succeeded(result.end)) return startedShim(result);
  // A shim of the 1.6 line that does not tell its version.
  if (program.encoding === "params" && refusesParams(result.combined.toString(), bundle.id)) {
    lookup.learn(program, "options");
    const again = await runStart(program, "options", bundle, settings, options, timeoutMs);
    if (succeeded(again.result.end)) return startedShim(again.result);
    throw exitError(again.run, again.result);
  }
  throw exitError(run, result);
}

function startedShim({ combined, pid }: ProgramResult): StartedShim {
  return { endpoint: parseStartOutput(combined), session: pid };
}

async function runStart(
  program: ShimProgram,
  encoding: StartEncoding,
  bundle: Bundle,
  settings: ShimSettings,
  options: AnyRecord | undefined,
  timeoutMs: number | undefined,
): Promise<{ run: ProgramRun; result: ProgramResult }> {
  const facts: StartFacts = {
    id: bundle.id,
    namespace: bundle.namespace,
    debug: settings.debug,
    daemonVersion: settings.daemonVersion,
    grpcAddress: settings.grpcAddress,
    ttrpcAddress: settings.ttrpcAddress,
    daemonBinary: settings.daemonBinary,
    socketDir: settings.socketDir,
    options,
  };
  const run: ProgramRun = {
    path: program.path,
    args: shimArguments(bundle, settings, ["-id", bundle.id], "start"),
    cwd: bundle.path,
    env: shimEnvironment(bundle.namespace, settings, settings.env),
    input: encodeStartInput(encoding, facts),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
  return { run, result: await runShimBinary(run) };
}

/**
 * Runs `delete` for a bundle whose shim is gone: ends the container and cleans up.
 *
 * @throws ContainerdError with what the shim printed, `deadline-exceeded` after `timeoutMs`
 */
export async function deleteByBinary(
  path: string,
  bundle: Bundle,
  settings: ShimSettings,
  timeoutMs: number,
): Promise<TaskExit> {
  const run: ProgramRun = {
    path,
    args: shimArguments(bundle, settings, ["-id", bundle.id, "-bundle", bundle.path], "delete"),
    cwd: bundle.path,
    env: shimEnvironment(bundle.namespace, settings, []),
    timeoutMs,
  };
  const result = await runShimBinary(run);
  if (!succeeded(result.end)) throw exitError(run, result, result.stderr);
  try {
    return DeleteResponse.decode(result.stdout);
  } catch (error) {
    throw dataLoss(`${commandLine(run)}: the answer is no DeleteResponse`, { cause: error });
  }
}

/**
 * Runs `-info`.
 *
 * @throws ContainerdError `not-implemented` for a shim that does not know it (1.x), else with what the shim printed
 */
export async function runtimeInfo(
  path: string,
  options: AnyRecord | undefined,
  signal: AbortSignal,
): Promise<RuntimeInfo> {
  const input = options === undefined ? new Uint8Array(0) : Any.encode(options).finish();
  const run: ProgramRun = { path, args: ["-info"], input, signal, timeoutMs: 30_000 };
  const result = await runShimBinary(run);
  if (result.stderr.includes("flag provided but not defined")) {
    throw notImplemented(`shim ${path} does not tell about its runtime (-info): it is of containerd 1.x`);
  }
  if (!succeeded(result.end)) throw exitError(run, result, result.stderr);
  try {
    return RuntimeInfoMessage.decode(result.stdout);
  } catch (error) {
    throw dataLoss(`${commandLine(run)}: the answer is no RuntimeInfo`, { cause: error });
  }
}

function shimArguments(bundle: Bundle, settings: ShimSettings, flags: readonly string[], action: string): string[] {
  return [
    "-namespace",
    bundle.namespace,
    "-address",
    settings.grpcAddress,
    "-publish-binary",
    settings.daemonBinary,
    ...flags,
    ...(settings.debug ? ["-debug"] : []),
    action,
  ];
}

function shimEnvironment(namespace: string, settings: ShimSettings, extra: readonly string[]): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    GOMAXPROCS: "2",
    MAX_SHIM_VERSION: "2",
    TTRPC_ADDRESS: settings.ttrpcAddress,
    GRPC_ADDRESS: settings.grpcAddress,
    NAMESPACE: namespace,
  };
  for (const entry of extra) {
    const equals = entry.indexOf("=");
    if (equals > 0) env[entry.slice(0, equals)] = entry.slice(equals + 1);
  }
  return env;
}
