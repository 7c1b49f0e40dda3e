/**
 * The plugins that are connected.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { messageOf, unavailable } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { listen } from "@ctrd/services";
import type { NodeRuntime } from "@ctrd/services";
import { createServer } from "node:net";
import type { Server } from "node:net";
import type { Duplex } from "node:stream";
import { Gate } from "./gate.ts";
import { findPrograms, launch, readConfig } from "./launch.ts";
import type { PluginIdentity, PluginOptions } from "./plugin-connection.ts";
import { PluginConnection } from "./plugin-connection.ts";

/** Where plugins are found, and how long they may take. */
export interface NriOptions {
  readonly socketPath: string;
  readonly pluginPath: string;
  readonly configPath: string;
  readonly registrationTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** Only those that the daemon starts. */
  readonly disableConnections: boolean;
  readonly log: Logger;
}

/** Starts plugins, and takes those that connect. */
export class PluginSet {
  readonly #options: NriOptions;
  readonly #gate = new Gate();
  readonly #starting = new Set<PluginConnection>();
  readonly #stops: (() => void)[] = [];
  #plugins: PluginConnection[] = [];
  #listener: Server | undefined;
  #runtime: NodeRuntime | undefined;
  #closed = false;

  constructor(options: NriOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#plugins.length;
  }

  /** Starts the programs, then listens. A program that fails is left out. */
  async start(runtime: NodeRuntime): Promise<void> {
    const { pluginPath, socketPath, disableConnections, log } = this.#options;
    this.#runtime = runtime;
    for (const identity of await findPrograms(pluginPath)) {
      try {
        const launched = await launch(pluginPath, identity);
        this.#stops.push(launched.stop);
        await this.#add(launched.socket, identity);
      } catch (error) {
        log.warn({ plugin: `${identity.index}-${identity.name}`, err: messageOf(error) }, "NRI plugin not started");
      }
    }
    if (disableConnections) return;
    this.#listener = createServer((socket) => {
      this.#add(socket).catch((error: unknown) => log.warn({ err: messageOf(error) }, "NRI plugin not taken"));
    });
    try {
      await listen(this.#listener, { path: socketPath, mode: 0o600 });
    } catch (error) {
      // Pods are run without those plugins; another daemon may serve them.
      log.warn({ path: socketPath, err: messageOf(error) }, "NRI plugins cannot connect");
      this.#listener = undefined;
    }
  }

  /** Runs a step with the plugins that there are, in their order. None comes while it runs. */
  async step<T>(ctx: CallContext, work: (plugins: readonly PluginConnection[]) => Promise<T>): Promise<T> {
    ctx.signal.throwIfAborted();
    return this.#gate.share(() => work(this.#plugins));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const closing = new Promise<void>((resolve) => {
      if (this.#listener === undefined) resolve();
      else this.#listener.close(() => resolve());
    });
    for (const plugin of [...this.#plugins, ...this.#starting]) plugin.close();
    for (const stop of this.#stops) stop();
    await closing;
  }

  /** Takes a plugin up: it is told what exists before it hears of what happens. */
  async #add(socket: Duplex, known?: PluginIdentity): Promise<void> {
    const runtime = this.#runtime as NodeRuntime;
    const plugin = new PluginConnection(socket, this.#pluginOptions(runtime), known);
    this.#starting.add(plugin);
    try {
      await plugin.begin();
      await this.#gate.alone(async () => {
        const { pods, containers } = await runtime.list();
        const updates = await plugin.synchronize(pods, containers);
        if (updates.length > 0) await runtime.update(updates);
        if (plugin.isClosed || this.#closed) throw unavailable(`NRI plugin "${plugin.name}" has gone`);
        this.#plugins = [...this.#plugins, plugin].toSorted(byOrder);
      });
    } catch (error) {
      plugin.close();
      throw error;
    } finally {
      this.#starting.delete(plugin);
    }
    this.#options.log.info({ plugin: plugin.name }, "NRI plugin connected");
    void plugin.closed.then(() => {
      this.#plugins = this.#plugins.filter((one) => one !== plugin);
      this.#options.log.info({ plugin: plugin.name }, "NRI plugin has gone");
    });
  }

  #pluginOptions(runtime: NodeRuntime): PluginOptions {
    const { registrationTimeoutMs, requestTimeoutMs, configPath, log } = this.#options;
    return {
      runtime,
      registrationTimeoutMs,
      requestTimeoutMs,
      log,
      configOf: (identity) => readConfig(configPath, identity),
      update: (updates) => runtime.update(updates),
    };
  }
}

function byOrder(a: PluginConnection, b: PluginConnection): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
