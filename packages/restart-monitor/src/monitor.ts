/**
 * The restart monitor: passes over all containers, and what happens between them.
 *
 * @module
 */
import { ContainerDelete, ContainerUpdate } from "@ctrd/api/events/container";
import { TaskExit } from "@ctrd/api/events/task";
import { createContext, withNamespace } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import type { Envelope, EventService } from "@ctrd/core/events";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import type { ObservableTaskService } from "@ctrd/core/tasks";
import { setTimeout as sleep } from "node:timers/promises";
import type { KeeperParts, KeeperSettings, LookReason } from "./keeper.ts";
import { Keeper } from "./keeper.ts";
import { RestartLabel } from "./policy.ts";

/** What a restart monitor works with. */
export interface RestartMonitorParts extends KeeperParts {
  readonly namespaces: NamespaceStore;
  readonly tasks: ObservableTaskService;
  readonly events: EventService;
}

/** Options of {@link startRestartMonitor}. */
export interface RestartMonitorOptions {
  /** Between passes over all containers; 0: ten seconds. */
  readonly intervalMs: number;
  readonly log?: Logger;
  /** Nothing is started before this resolves. */
  readonly ready?: (signal: AbortSignal) => Promise<void>;
}

/** A restart monitor at work. */
export interface RunningRestartMonitor {
  /** Changes the time between passes; 0: ten seconds. */
  setInterval(intervalMs: number): void;
  /** Ends it; containers stay as they are. */
  stop(): Promise<void>;
}

const defaultIntervalMs = 10_000;
/** Containers that a pass looks at at the same time. */
const parallel = 8;
const topics = ["/tasks/exit", "/containers/update", "/containers/delete"];

/** Starts a restart monitor. */
export function startRestartMonitor(parts: RestartMonitorParts, options: RestartMonitorOptions): RunningRestartMonitor {
  return new RestartMonitor(parts, options);
}

class RestartMonitor implements RunningRestartMonitor {
  readonly #parts: RestartMonitorParts;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #settings: KeeperSettings;
  readonly #keepers = new Map<string, Keeper>();
  readonly #ended: Promise<unknown>;
  #wake: () => void = () => {};

  constructor(parts: RestartMonitorParts, { intervalMs, log = silentLogger, ready }: RestartMonitorOptions) {
    [this.#parts, this.#log] = [parts, log];
    const { signal } = this.#abort;
    this.#settings = { log, signal, startedAt: Date.now(), intervalMs: intervalMs || defaultIntervalMs };
    const forget = parts.tasks.onKill((namespace, id) => this.#keeper(namespace, id).killed());
    signal.addEventListener("abort", forget, { once: true });
    this.#ended = this.#run(ready);
  }

  setInterval(intervalMs: number): void {
    this.#settings.intervalMs = intervalMs || defaultIntervalMs;
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake();
    await this.#ended;
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.close()));
  }

  async #run(ready: RestartMonitorOptions["ready"]): Promise<void> {
    const { signal } = this.#abort;
    try {
      await ready?.(signal);
    } catch (error) {
      if (!signal.aborted) this.#log.error({ err: messageOf(error) }, "restart monitor does not run");
      return;
    }
    await Promise.all([this.#follow(), this.#passes()]);
  }

  async #passes(): Promise<void> {
    for (let reason: LookReason = "first"; !this.#abort.signal.aborted; reason = "pass") {
      try {
        await this.#pass(reason);
      } catch (error) {
        if (!this.#abort.signal.aborted) this.#log.error({ err: messageOf(error) }, "look at containers to restart");
      }
      await this.#interval();
    }
  }

  async #interval(): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#settings.intervalMs);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
  }

  /** Looks at the containers with restart labels of all namespaces. */
  async #pass(reason: LookReason): Promise<void> {
    const ctx = createContext({ signal: this.#abort.signal, log: this.#log });
    const found: Keeper[] = [];
    for (const { name } of await this.#parts.namespaces.list(ctx)) {
      const filters = [`labels.${JSON.stringify(RestartLabel.status)}`];
      const containers = await this.#parts.containers.list(withNamespace(ctx, name), filters);
      for (const { id } of containers) found.push(this.#keeper(name, id));
    }
    const looking = found.values();
    const work = async (): Promise<void> => {
      for (const keeper of looking) await keeper.look(reason);
    };
    await Promise.all(Array.from({ length: parallel }, work));
  }

  /** Takes events, until the monitor ends; a subscription that has broken is made anew. */
  async #follow(): Promise<void> {
    const { signal } = this.#abort;
    const ctx = createContext({ signal, log: this.#log });
    while (!signal.aborted) {
      try {
        const filters = topics.map((topic) => `topic==${JSON.stringify(topic)}`);
        for await (const envelope of this.#parts.events.subscribe(ctx, filters)) this.#take(envelope);
      } catch (error) {
        if (!signal.aborted) this.#log.warn({ err: messageOf(error) }, "events of containers were lost");
      }
      // Ended with the exchange, when the daemon stops.
      if (!signal.aborted) await sleep(resubscribeMs, undefined, { signal }).catch(() => {});
    }
  }

  #take({ namespace, topic, event }: Envelope): void {
    const bytes = event?.value ?? new Uint8Array();
    switch (topic) {
      case "/tasks/exit": {
        const { id, containerId, exitStatus } = TaskExit.decode(bytes);
        if (id === containerId) this.#keeper(namespace, id).ended(exitStatus);
        return;
      }
      case "/containers/update": {
        const { id, labels } = ContainerUpdate.decode(bytes);
        if (labels.has(RestartLabel.status)) this.#keeper(namespace, id).updated(labels);
        return;
      }
      case "/containers/delete":
        this.#forget(namespace, ContainerDelete.decode(bytes).id);
        return;
    }
  }

  #keeper(namespace: string, id: string): Keeper {
    const key = keyOf(namespace, id);
    const known = this.#keepers.get(key);
    if (known !== undefined) return known;
    const keeper = new Keeper(this.#parts, this.#settings, namespace, id);
    this.#keepers.set(key, keeper);
    return keeper;
  }

  #forget(namespace: string, id: string): void {
    const key = keyOf(namespace, id);
    void this.#keepers.get(key)?.close();
    this.#keepers.delete(key);
  }
}

const resubscribeMs = 100;

/** Neither part has a slash. */
function keyOf(namespace: string, id: string): string {
  return `${namespace}/${id}`;
}
