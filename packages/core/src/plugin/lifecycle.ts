import type { Logger } from "../log.ts";
import { messageOf } from "../errors.ts";
import type {
  AnyRegistration,
  DaemonInfo,
  PluginMeta,
  PluginRef,
  PluginState,
  PluginStatus,
  PluginType,
} from "./contract.ts";
import { pluginUri, SkipPlugin } from "./contract.ts";
import { Closers } from "./closers.ts";
import type { LoadedPlugin, PluginOrder, PluginProblem } from "./graph.ts";
import { describePlugin, needOf, orderPlugins, requirementsOf, satisfies, wantedOf } from "./graph.ts";
import type { PluginInstance } from "./init-context.ts";
import { createInitContext } from "./init-context.ts";
import type { PluginReload } from "./reload.ts";
import { Reloadable } from "./reload.ts";

/** What {@link initPlugins} needs. */
export interface InitPluginsOptions {
  readonly plugins: readonly LoadedPlugin[];
  /** `<type>.<id>` of plugins not to initialise. */
  readonly disabled?: readonly string[];
  /** Raw configuration tables by `<type>.<id>`; a plugin without one gets its defaults. */
  readonly config?: ReadonlyMap<string, unknown>;
  /** Directory of the plugins' persistent directories. */
  readonly root: string;
  /** Directory of the plugins' ephemeral directories. */
  readonly state: string;
  readonly daemon: DaemonInfo;
  readonly log: Logger;
  /** Aborts when the daemon stops; plugins get it. */
  readonly signal: AbortSignal;
}

/** The initialised plugins of a daemon. */
export interface PluginSet {
  /** Every plugin: in order of initialisation, then the disabled ones. */
  readonly statuses: readonly PluginStatus[];
  /** Instances of a type, in order of initialisation. */
  getAll<T>(type: PluginType<T>): T[];
  /** One instance; undefined when it is absent or not ok. */
  find<T>(ref: PluginRef<T>): T | undefined;
  /**
   * Applies changed configuration tables, by `<type>.<id>`, as far as plugins can take them while they run. A table
   * that is not valid changes nothing of its plugin.
   *
   * @returns what happened to every plugin whose configuration differs
   */
  reload(config: ReadonlyMap<string, unknown>): Promise<PluginReload[]>;
  /** Runs what plugins registered with `onClose`, last first. Repeated calls share one run; failures are logged. */
  close(): Promise<void>;
}

/**
 * Initialises plugins, dependencies first and one after the other.
 *
 * A plugin that declines, fails or lacks a requirement is recorded and the others go on; what required it fails too,
 * naming it as the cause. Whether a failure is fatal is the caller's decision.
 *
 * @throws ContainerdError `invalid-argument` as {@link orderPlugins}
 */
export async function initPlugins(options: InitPluginsOptions): Promise<PluginSet> {
  const run = new InitRun(options, orderPlugins(options.plugins, { disabled: options.disabled ?? [] }));
  await run.initAll();
  return run.result();
}

class InitRun {
  readonly #options: InitPluginsOptions;
  readonly #order: PluginOrder;
  readonly #statuses: PluginStatus[] = [];
  readonly #instances: PluginInstance[] = [];
  readonly #reloadables: Map<LoadedPlugin, Reloadable> = new Map();
  readonly #closers: Closers;

  constructor(options: InitPluginsOptions, order: PluginOrder) {
    this.#options = options;
    this.#order = order;
    this.#closers = new Closers(options.log);
  }

  async initAll(): Promise<void> {
    for (const plugin of this.#order.order) await this.#init(plugin);
    for (const plugin of this.#order.disabled) {
      const problem = { error: "disabled by configuration", remedy: "remove it from disabled_plugins" };
      this.#record(plugin, "disabled", emptyMeta(), problem);
    }
  }

  result(): PluginSet {
    const matching = (wanted: { type: string; id: string | undefined }): unknown[] =>
      this.#instances.filter((other) => satisfies(other.plugin, wanted)).map((other) => other.instance);
    return {
      statuses: this.#statuses,
      getAll: <T>(type: PluginType<T>): T[] => matching(wantedOf(type)) as T[],
      find: <T>(ref: PluginRef<T>): T | undefined => matching(wantedOf(ref))[0] as T | undefined,
      reload: (config) => this.#reload(config),
      close: () => this.#closers.closeAll(),
    };
  }

  async #reload(tables: ReadonlyMap<string, unknown>): Promise<PluginReload[]> {
    const reports: PluginReload[] = [];
    for (const [{ registration }, reloadable] of this.#reloadables) {
      const plugin = pluginUri(registration);
      try {
        const report = await reloadable.reload(await validateConfig(registration, tables.get(plugin)));
        if (report !== undefined) reports.push(report);
      } catch (error) {
        reports.push({ plugin, applied: [], needRestart: [], error: messageOf(error) });
      }
    }
    return reports;
  }

  async #init(plugin: LoadedPlugin): Promise<void> {
    const uri = pluginUri(plugin.registration);
    const log = this.#options.log;
    const meta = emptyMeta();
    const problem = this.#order.missing.get(plugin) ?? this.#brokenRequirement(plugin);
    if (problem !== undefined) {
      log.warn({ plugin: uri, ...problem }, "plugin failed");
      this.#record(plugin, "failed", meta, problem);
      return;
    }
    const began = performance.now();
    const mark = this.#closers.mark();
    try {
      const instance = await this.#call(plugin, meta);
      this.#instances.push({ plugin, instance });
      this.#record(plugin, "ok", meta);
      log.debug({ plugin: uri, ms: Math.round(performance.now() - began) }, "plugin ready");
    } catch (error) {
      await this.#closers.closeSince(mark);
      if (error instanceof SkipPlugin) {
        log.info({ plugin: uri, reason: error.reason, remedy: error.remedy }, "plugin skipped");
        this.#record(plugin, "skipped", meta, { error: error.reason, remedy: error.remedy });
      } else {
        log.warn({ plugin: uri, err: error }, "plugin failed");
        this.#record(plugin, "failed", meta, { error: messageOf(error), remedy: "" });
      }
    }
  }

  async #call(plugin: LoadedPlugin, meta: PluginMeta): Promise<unknown> {
    const { registration } = plugin;
    const config = await validateConfig(registration, this.#options.config?.get(pluginUri(registration)));
    const { root, state, log, daemon, signal } = this.#options;
    const plugins = (): readonly PluginStatus[] => this.#statuses;
    const host = { root, state, log, daemon, signal, instances: this.#instances, plugins };
    const reloadable = new Reloadable(pluginUri(registration), config);
    const instance = await registration.initFn(
      createInitContext(host, plugin, config, meta, {
        onClose: (close) => this.#closers.add(plugin, close),
        onReload: (keys, apply) => reloadable.add({ keys, apply }),
      }),
    );
    if (registration.config !== undefined) this.#reloadables.set(plugin, reloadable);
    return instance;
  }

  /** The first requirement that exists but did not come up. One good plugin is enough for a required type. */
  #brokenRequirement(plugin: LoadedPlugin): PluginProblem | undefined {
    for (const requirement of plugin.registration.requires ?? []) {
      const need = needOf(requirement);
      if (need.optional || this.#instances.some((other) => satisfies(other.plugin, need))) continue;
      const causes = this.#statuses.filter(
        (status) => status.type === need.type && (need.id === undefined || need.id === status.id),
      );
      const why = causes
        .map((status) => `${status.type}.${status.id} ${status.state}: ${status.error ?? ""}`)
        .join("; ");
      const remedies = causes.map((status) => status.remedy ?? "").filter((remedy) => remedy !== "");
      return {
        error: `${describePlugin(plugin)} requires ${need.id ?? need.type}, but ${why}`,
        remedy: remedies.join("; "),
      };
    }
    return undefined;
  }

  #record(plugin: LoadedPlugin, state: PluginState, meta: PluginMeta, problem?: PluginProblem): void {
    const { type, id } = plugin.registration;
    const requirements = requirementsOf(plugin.registration);
    const reloadable = this.#reloadables.get(plugin);
    const status: PluginStatus = {
      type: type.name,
      id,
      requires: [...new Set(requirements.map((requirement) => requirement.type))],
      requirements,
      state,
      meta,
      ...(problem === undefined ? {} : { error: problem.error }),
      ...(problem === undefined || problem.remedy === "" ? {} : { remedy: problem.remedy }),
      ...(plugin.source === undefined ? {} : { source: plugin.source }),
    };
    // What is in force when it is asked for.
    if (reloadable !== undefined) {
      Object.defineProperty(status, "config", { enumerable: true, get: () => reloadable.config });
    }
    this.#statuses.push(status);
  }
}

function emptyMeta(): PluginMeta {
  return { exports: new Map(), platforms: [], capabilities: [] };
}

async function validateConfig(registration: AnyRegistration, table: unknown): Promise<unknown> {
  if (registration.config === undefined) return undefined;
  const result = await registration.config.standard["~standard"].validate(table ?? {});
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map((issue) => {
    const path = (issue.path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return path === "" ? issue.message : `${path}: ${issue.message}`;
  });
  throw new Error(`configuration of ${pluginUri(registration)}: ${issues.join("; ")}`);
}
