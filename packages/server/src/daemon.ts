import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import { errnoOf, failedPrecondition } from "@ctrd/core/errors";
import { MetadataPlugin } from "@ctrd/core/metadata";
import type { DaemonInfo, LoadedPlugin, PluginRef, PluginSet, PluginStatus, PluginType } from "@ctrd/core/plugin";
import { initPlugins } from "@ctrd/core/plugin";
import type { DaemonServer } from "@ctrd/core/services";
import { ServerPlugin } from "@ctrd/core/services";
import { sdNotify } from "@ctrd/sys";
import type { LogSettings } from "./log.ts";
import type { ReloadReport } from "./reload.ts";
import { reloadDaemon } from "./reload.ts";
import { checkComposition } from "./app/check-composition.ts";
import type { PluginList } from "./app/plugin-list.ts";
import { pluginsOf } from "./app/plugin-list.ts";
import { withProxyPlugins } from "./app/proxy-plugins.ts";
import type { DaemonConfig } from "./config/index.ts";
import { documentOf, resolveConfig } from "./config/index.ts";
import { prepareDirectories } from "./directories.ts";
import { lockDirectory } from "./directory-lock.ts";
import { writeSelfCommand } from "./self-command.ts";
import { revision, version } from "./version.ts";

/** How long calls may go on once the daemon stops, in milliseconds. */
const stopGraceMs = 5_000;

/** Options of {@link composeDaemon}. */
export interface ComposeOptions {
  readonly plugins: PluginList;
  /** The configuration as a table with the keys of the newest layout; what is left out is the default. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly log?: Logger;
}

/** A daemon. It runs from `start` to `stop`, once. */
export interface Daemon {
  readonly config: DaemonConfig;
  /** Every plugin with what became of it; complete once `start` has resolved. */
  readonly plugins: readonly PluginStatus[];
  /** An initialised plugin; undefined when it is absent or not ok. */
  find<T>(ref: PluginRef<T>): T | undefined;
  /** Every initialised plugin of a type. */
  getAll<T>(type: PluginType<T>): T[];
  /**
   * Takes the directories, initialises the plugins and starts the servers. When it fails, all is undone.
   *
   * @throws ContainerdError with one sentence: what, which object, what to do about it
   */
  start(): Promise<void>;
  /**
   * Takes over a changed configuration as far as that is possible while the daemon runs; the rest is reported and
   * logged. Calls follow each other, and wait for a start that is under way.
   *
   * @param config the whole configuration, as {@link ComposeOptions.config}
   * @throws ContainerdError `invalid-argument` for a mistake in it, which changes nothing; `failed-precondition` unless
   * the daemon runs
   */
  reload(config: Readonly<Record<string, unknown>>): Promise<ReloadReport>;
  /** Stops the servers, then closes the plugins in reverse order. Containers go on. Repeated calls share one run. */
  stop(): Promise<void>;
}

/** A daemon whose configuration its owner reads. */
export interface ComposedDaemon extends Daemon {
  /** {@link Daemon.reload} of a configuration that is read once it is its turn. */
  reloadFrom(read: () => Promise<DaemonConfig>): Promise<ReloadReport>;
}

/**
 * Composes a daemon of plugins and a configuration, without starting it.
 *
 * ```ts
 * const daemon = await composeDaemon({ plugins: [...builtins, mine], config: { root: "/srv/d", state: "/run/d" } });
 * await daemon.start();
 * ```
 *
 * @throws ContainerdError for a package that cannot be used, plugins that do not fit together, or a mistake in the
 * configuration
 */
export async function composeDaemon(options: ComposeOptions): Promise<Daemon> {
  const listed = await pluginsOf(options.plugins);
  const config = await resolveTable(options.config ?? {}, listed);
  const plugins = await withProxyPlugins(listed, config.table.proxy_plugins);
  return createDaemon({ plugins, config, log: options.log ?? silentLogger });
}

/** {@link composeDaemon} and start. */
export async function startDaemon(options: ComposeOptions): Promise<Daemon> {
  const daemon = await composeDaemon(options);
  await daemon.start();
  return daemon;
}

/** Makes a daemon of a checked configuration. @throws ContainerdError for plugins that do not fit together */
export function createDaemon(options: {
  readonly plugins: readonly LoadedPlugin[];
  readonly config: DaemonConfig;
  readonly log: Logger;
  /** Changes what is logged. */
  readonly setLog?: (settings: LogSettings) => void;
}): ComposedDaemon {
  checkComposition(options.plugins, options.config.table.disabled_plugins);
  return new PluginDaemon(options.plugins, options.config, options.log, options.setLog);
}

function resolveTable(
  table: Readonly<Record<string, unknown>>,
  plugins: readonly LoadedPlugin[],
): Promise<DaemonConfig> {
  const documents = [documentOf({ imports: [], ...table }, "configuration")];
  return resolveConfig({ documents, warnings: [] }, plugins);
}

class PluginDaemon implements ComposedDaemon {
  config: DaemonConfig;
  readonly #list: readonly LoadedPlugin[];
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #locks: (() => void)[] = [];
  readonly #servers: DaemonServer[] = [];
  readonly #setLog: ((settings: LogSettings) => void) | undefined;
  #set: PluginSet | undefined;
  #starting: Promise<void> | undefined;
  #isRunning = false;
  #applying: Promise<unknown> = Promise.resolve();
  #reloading: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;

  constructor(
    list: readonly LoadedPlugin[],
    config: DaemonConfig,
    log: Logger,
    setLog: ((settings: LogSettings) => void) | undefined,
  ) {
    this.#list = list;
    this.config = config;
    this.#log = log;
    this.#setLog = setLog;
  }

  get plugins(): readonly PluginStatus[] {
    return this.#set?.statuses ?? [];
  }

  find<T>(ref: PluginRef<T>): T | undefined {
    return this.#set?.find(ref);
  }

  getAll<T>(type: PluginType<T>): T[] {
    return this.#set?.getAll(type) ?? [];
  }

  start(): Promise<void> {
    this.#starting = this.#startOrUndo();
    return this.#starting;
  }

  async #startOrUndo(): Promise<void> {
    const began = performance.now();
    try {
      await this.#start();
    } catch (error) {
      await this.#shutDown();
      throw error;
    }
    const { root, state } = this.config.table;
    const ok = this.plugins.filter((plugin) => plugin.state === "ok").length;
    this.#log.info({ version, root, state, plugins: ok, ms: Math.round(performance.now() - began) }, "daemon ready");
    this.#isRunning = true;
    this.#notify("READY=1");
  }

  reload(config: Readonly<Record<string, unknown>>): Promise<ReloadReport> {
    return this.reloadFrom(() => resolveTable(config, this.#list));
  }

  reloadFrom(read: () => Promise<DaemonConfig>): Promise<ReloadReport> {
    const reloaded = this.#reloading.then(() => this.#reload(read));
    this.#reloading = reloaded.catch(() => {});
    return reloaded;
  }

  async #reload(read: () => Promise<DaemonConfig>): Promise<ReloadReport> {
    const set = await this.#runningSet();
    // The service manager waits for READY, whatever becomes of it.
    this.#notify(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    try {
      const next = await read();
      for (const warning of next.warnings) this.#log.warn({ warning }, "configuration");
      // It may have been stopped meanwhile.
      await this.#runningSet();
      const [current, plugins, setLog, log] = [this.config, this.#list, this.#setLog, this.#log];
      const applying = reloadDaemon({ current, next, plugins, set, setLog, log });
      this.#applying = applying.catch(() => {});
      const report = await applying;
      // The rest is as it was when the daemon started.
      this.config = { ...current, table: { ...current.table, debug: next.table.debug } };
      return report;
    } finally {
      if (this.#stopping === undefined) this.#notify("READY=1");
    }
  }

  /** The plugins, once a start that is under way has ended. */
  async #runningSet(): Promise<PluginSet> {
    // Whoever started it gets the error of the start.
    await this.#starting?.catch(() => {});
    if (this.#set !== undefined && this.#isRunning && this.#stopping === undefined) return this.#set;
    throw failedPrecondition("reload the configuration: the daemon does not run");
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #start(): Promise<void> {
    const { table } = this.config;
    for (const warning of this.config.warnings) this.#log.warn({ warning }, "configuration");
    await prepareDirectories(table);
    this.#locks.push(lockDirectory("root", table.root), lockDirectory("state", table.state));
    if (table.temp !== "") process.env["TMPDIR"] = table.temp;
    await this.#setOomScore(table.oom_score);
    this.#set = await initPlugins({
      plugins: this.#list,
      disabled: table.disabled_plugins,
      config: new Map(Object.entries(table.plugins)),
      root: table.root,
      state: table.state,
      daemon: await this.#info(),
      log: this.#log,
      signal: this.#abort.signal,
    });
    checkEssential(this.#set.statuses, table.required_plugins);
    for (const server of this.#set.getAll(ServerPlugin)) {
      await server.start();
      this.#servers.push(server);
      if (server.address !== "") this.#log.info({ address: server.address }, "serving");
    }
  }

  async #info(): Promise<DaemonInfo> {
    const { address, ttrpcAddress, timeouts, table } = this.config;
    const binary = await writeSelfCommand(table.root);
    const isDebug = (): boolean => ["debug", "trace"].includes(this.config.table.debug.level);
    return {
      ...{ version, revision, address, ttrpcAddress, binary, timeouts },
      logTraceId: table.debug.log_trace_id,
      streamProcessors: Object.entries(table.stream_processors).map(([id, settings]) => ({ id, ...settings })),
      get debug() {
        return isDebug();
      },
    };
  }

  async #stop(): Promise<void> {
    this.#log.info({}, "daemon stopping");
    this.#notify("STOPPING=1");
    // Plugins must not be changed while they are closed.
    await Promise.race([this.#applying, sleep(stopGraceMs, undefined, { ref: false })]);
    await this.#shutDown();
    this.#log.info({}, "daemon stopped");
  }

  async #shutDown(): Promise<void> {
    const stopped = await Promise.allSettled(this.#servers.splice(0).map((server) => server.stop(stopGraceMs)));
    for (const result of stopped) {
      if (result.status === "rejected") this.#log.error({ err: result.reason as unknown }, "server did not stop");
    }
    this.#abort.abort(new Error("the daemon stops"));
    await this.#set?.close();
    for (const unlock of this.#locks.splice(0).toReversed()) unlock();
  }

  #notify(state: string): void {
    try {
      sdNotify(state);
    } catch (error) {
      this.#log.warn({ err: error, state }, "service manager not notified");
    }
  }

  async #setOomScore(score: number): Promise<void> {
    if (score === 0) return;
    try {
      await writeFile("/proc/self/oom_score_adj", String(score));
    } catch (error) {
      if (!["EPERM", "EACCES"].includes(errnoOf(error) ?? "")) throw error;
      this.#log.warn({ score }, "oom_score not set: not permitted");
    }
  }
}

/** A daemon that cannot serve, cannot read what it remembers, or lacks what is required, must not start. */
function checkEssential(statuses: readonly PluginStatus[], required: readonly string[]): void {
  for (const status of statuses) {
    const uri = `${status.type}.${status.id}`;
    const isRequired = required.includes(uri);
    const isIndispensable = status.type === ServerPlugin.name || status.type === MetadataPlugin.name;
    if (status.state === "ok" || (!isRequired && !(isIndispensable && status.state === "failed"))) continue;
    const remedy = status.remedy === undefined ? "" : `; ${status.remedy}`;
    throw failedPrecondition(
      `${isRequired ? "required " : ""}plugin ${uri} ${status.state}: ${status.error ?? ""}${remedy}`,
    );
  }
}
