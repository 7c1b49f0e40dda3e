/**
 * A whole daemon inside the test's process, with plugins under test in it. It needs `@ctrd/server` installed.
 *
 * ```ts
 * await using daemon = await startTestDaemon({ plugins: [mySnapshotter] });
 * const { stdout } = await daemon.ctr(["snapshots", "--snapshotter", "mine", "ls"]);
 * ```
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import { failedPrecondition, internal, invalidArgument } from "@ctrd/core/errors";
import { RuntimePlugin } from "@ctrd/core/tasks";
import type { RpcChannel } from "@ctrd/services";
import { openChannel } from "@ctrd/services";
import type { CtrOptions } from "../fixtures/daemon.ts";
import { daemonDirs } from "../fixtures/daemon-dirs.ts";
import type { CommandResult } from "../fixtures/process.ts";
import { runCommand } from "../fixtures/process.ts";
import { loadServer } from "./load-server.ts";
import type { LogLine } from "./log-lines.ts";
import { createLineLogger } from "./log-lines.ts";
import { killShims, removeTasks } from "./remaining-tasks.ts";
import type { ComposedDaemon, PluginEntry, PluginPackageEntry, ServerModule } from "./server-module.ts";

export type { LogLine } from "./log-lines.ts";
export type { ComposedDaemon, PluginEntry, PluginPackageEntry } from "./server-module.ts";

/** What to start. */
export interface TestDaemonOptions {
  /** Plugins under test: `default` exports of plugin entries, or packages. */
  readonly plugins?: readonly PluginEntry[];
  /** The built-in packages besides them: all (true, the default), none, or those named. */
  readonly builtins?: boolean | readonly string[];
  /** Configuration as a table with containerd's keys (`plugins`, `timeouts`, …); the directories are the test's own. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Directory for everything, kept on disposal, for tests that start a daemon again; a temporary one when absent. */
  readonly dir?: string;
  /** False: the daemon starts also when a plugin under test failed or was skipped; see `daemon.plugins`. */
  readonly mustInitialise?: boolean;
}

/** A daemon that runs in this process. */
export interface StartedTestDaemon extends AsyncDisposable {
  /** Path of its gRPC socket. */
  readonly address: string;
  readonly root: string;
  readonly state: string;
  /** The daemon itself: its plugins and what became of them. */
  readonly daemon: ComposedDaemon;
  /** In the namespace `default`, which `ctr` uses too. */
  readonly ctx: CallContext;
  /** What it has logged so far. */
  readonly logs: readonly LogLine[];
  /** A channel to its socket for `proxy…` of `@ctrd/services`; always the same one, closed when the daemon stops. */
  channel(): RpcChannel;
  /** Runs `ctr` against it, 60 s at most. A failing exit code is returned. @throws Error when `ctr` is not installed */
  ctr(args: readonly string[], options?: CtrOptions): Promise<CommandResult>;
  /** Ends what still runs in it, stops it, and removes its directories. Disposing does the same; repeating does nothing. */
  stop(): Promise<void>;
}

const namespace = "default";
const grpcServer = "io.containerd.server.v1.grpc";

/**
 * Starts a daemon on directories and sockets of its own.
 *
 * @throws ContainerdError `failed-precondition` when `@ctrd/server` is missing, or when a plugin under test failed or
 * was skipped; and what the server's `composeDaemon` throws
 */
export async function startTestDaemon(options: TestDaemonOptions = {}): Promise<StartedTestDaemon> {
  const server = await loadServer();
  const chosen = chooseBuiltins(server, options.builtins ?? true);
  const dirs = await daemonDirs("tkd-", options.dir);
  const logs: LogLine[] = [];
  let daemon: ComposedDaemon | undefined;
  try {
    daemon = await server.composeDaemon({
      plugins: [...chosen, ...(options.plugins ?? [])],
      config: configOf(dirs, options.config ?? {}),
      log: createLineLogger(logs),
    });
    if (daemon.config.address !== dirs.address) {
      // Another version of the server, which reads the configuration otherwise, must not start on the machine's own.
      throw internal(`the daemon would serve ${daemon.config.address}, not ${dirs.address}: its server does not fit`);
    }
    await daemon.start();
    if (options.mustInitialise ?? true) await checkPlugins(daemon, options.plugins ?? []);
  } catch (error) {
    await daemon?.stop();
    await dirs.cleanUp();
    throw error;
  }
  return startedDaemon(daemon, dirs, logs);
}

interface Directories {
  base: string;
  root: string;
  state: string;
  address: string;
  cleanUp(): Promise<void>;
}

function startedDaemon(daemon: ComposedDaemon, dirs: Directories, logs: readonly LogLine[]): StartedTestDaemon {
  const { address, root, state } = dirs;
  let channel: RpcChannel | undefined;
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    channel?.close();
    try {
      await removeTasks(daemon.getAll(RuntimePlugin));
    } finally {
      await daemon.stop();
      await killShims(dirs.base);
      await dirs.cleanUp();
    }
  };
  const stopOnce = (): Promise<void> => (stopping ??= stop());
  return {
    address,
    root,
    state,
    daemon,
    logs,
    ctx: createContext({ namespace }),
    channel: () => (channel ??= openChannel(address)),
    ctr(args, options = {}) {
      const { namespace: chosen = namespace, ...rest } = options;
      return runCommand("ctr", ["--address", address, "--namespace", chosen, ...args], rest);
    },
    stop: stopOnce,
    [Symbol.asyncDispose]: stopOnce,
  };
}

function chooseBuiltins(server: ServerModule, chosen: boolean | readonly string[]): readonly PluginPackageEntry[] {
  if (typeof chosen === "boolean") return chosen ? server.builtins : [];
  const known = server.builtins.map(({ name }) => name);
  const unknown = chosen.find((name) => !known.includes(name));
  if (unknown !== undefined) throw invalidArgument(`"${unknown}" is not built in; built in are ${known.join(", ")}`);
  return server.builtins.filter(({ name }) => chosen.includes(name));
}

function configOf(dirs: Directories, config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  for (const key of ["root", "state"]) {
    if (key in config) throw invalidArgument(`startTestDaemon chooses "${key}" itself: give dir instead`);
  }
  const plugins = tableOf(config["plugins"]);
  return {
    ...config,
    root: dirs.root,
    state: dirs.state,
    plugins: { ...plugins, [grpcServer]: { ...tableOf(plugins[grpcServer]), address: dirs.address } },
  };
}

/** What is no table is left for the server to refuse. */
function tableOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

/** A plugin under test that is not there would show as an error of something else, later. */
async function checkPlugins(daemon: ComposedDaemon, plugins: readonly PluginEntry[]): Promise<void> {
  const uris = new Set<string>();
  for (const entry of plugins) {
    const loaded = "load" in entry ? (await entry.load()).default : entry;
    for (const { type, id } of [loaded].flat()) uris.add(`${type.name}.${id}`);
  }
  for (const { type, id, state, error, remedy } of daemon.plugins) {
    const uri = `${type}.${id}`;
    if (state === "ok" || !uris.has(uri)) continue;
    const why = [error, remedy].filter((text) => text !== undefined && text !== "").join("; ");
    throw failedPrecondition(`plugin ${uri} under test is ${state}: ${why}`);
  }
}
