/**
 * One plugin and the connection to it.
 *
 * @module
 */
import type { Container, ContainerUpdate, PodSandbox, RegisterPluginRequest } from "@ctrd/api/nri/v1alpha1/api";
import { PluginDefinition, RuntimeDefinition, SynchronizeRequest } from "@ctrd/api/nri/v1alpha1/api";
import type { CallContext } from "@ctrd/core/context";
import {
  deadlineExceeded,
  failedPrecondition,
  invalidArgument,
  isKind,
  messageOf,
  unavailable,
} from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { RequestOf, ResponseOf } from "@ctrd/ttrpc";
import { TtrpcClient, TtrpcServer } from "@ctrd/ttrpc";
import type { Duplex } from "node:stream";
import { allEvents, eventBit, eventOf } from "./events.ts";
import type { EventCall } from "./events.ts";
import { Multiplexer, StreamId } from "./multiplex.ts";

/** The version of NRI that is spoken; plugins look at it. */
const nriVersion = "v0.12.0";
/** What one Synchronize message holds at most, of the 4 MiB that ttrpc takes. */
const maxSyncBytes = 1 << 20;

/** Who a plugin is. */
export interface PluginIdentity {
  /** Two digits: plugins are asked in their order. */
  readonly index: string;
  readonly name: string;
}

/** What plugins are connected with. */
export interface PluginOptions {
  readonly runtime: { readonly name: string; readonly version: string };
  readonly registrationTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
  /** Configuration of a plugin; empty when it has none. */
  configOf(identity: PluginIdentity): Promise<string>;
  /** Updates that a plugin makes by itself. @returns those that failed */
  update(updates: readonly ContainerUpdate[]): Promise<readonly ContainerUpdate[]>;
}

/** A plugin, from its registration to its end. */
export class PluginConnection {
  /** Resolves when the plugin has gone. */
  readonly closed: Promise<void>;
  readonly #options: PluginOptions;
  readonly #mux: Multiplexer;
  readonly #client: TtrpcClient;
  readonly #server = new TtrpcServer();
  readonly #registered = Promise.withResolvers<PluginIdentity>();
  #identity: PluginIdentity | undefined;
  #events = 0;
  /** Calls that the plugin knows only as state changes. */
  readonly #old = new Set<EventCall>();

  /** @param known identity of a plugin that was started by us; others tell theirs */
  constructor(socket: Duplex, options: PluginOptions, known?: PluginIdentity) {
    this.#options = options;
    this.#identity = known;
    this.#mux = new Multiplexer(socket);
    this.#client = new TtrpcClient(this.#mux.open(StreamId.plugin));
    this.#server.register(RuntimeDefinition, {
      registerPlugin: async (_call, request) => this.#register(request),
      updateContainers: async (_call, { update }) => ({ failed: await this.#update(update) }),
    });
    this.#server.accept(this.#mux.open(StreamId.runtime));
    this.closed = new Promise((resolve) => void this.#client.onClose(() => resolve()));
    void this.closed.then(() => this.#registered.reject(unavailable("the plugin has gone before it registered")));
    this.#registered.promise.catch(() => {});
    this.#mux.start();
  }

  /** For example `10-balloons`. */
  get name(): string {
    const { index, name } = this.identity;
    return `${index}-${name}`;
  }

  get identity(): PluginIdentity {
    return this.#identity ?? { index: "??", name: "unknown" };
  }

  get isClosed(): boolean {
    return this.#client.closed;
  }

  /** Waits until the plugin has said who it is, and configures it. @throws ContainerdError; the plugin is then gone */
  async begin(): Promise<void> {
    const { registrationTimeoutMs, requestTimeoutMs, runtime } = this.#options;
    try {
      await this.#untilRegistered();
      const answer = await this.#client.call(
        PluginDefinition,
        "configure",
        {
          config: await this.#options.configOf(this.identity),
          runtimeName: runtime.name,
          runtimeVersion: runtime.version,
          registrationTimeout: BigInt(registrationTimeoutMs),
          requestTimeout: BigInt(requestTimeoutMs),
          NRIVersion: nriVersion,
        },
        { timeoutMs: requestTimeoutMs },
      );
      if ((answer.events & ~allEvents) !== 0) {
        throw invalidArgument(`NRI plugin "${this.name}" subscribes to events that are not known: ${answer.events}`);
      }
      this.#events = answer.events === 0 ? allEvents : answer.events;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Tells what exists. @returns what the plugin wants to be changed */
  async synchronize(pods: readonly PodSandbox[], containers: readonly Container[]): Promise<ContainerUpdate[]> {
    const parts = partsOf(pods, containers);
    const updates: ContainerUpdate[] = [];
    for (const [at, part] of parts.entries()) {
      const request = { ...part, more: at < parts.length - 1 };
      const { requestTimeoutMs: timeoutMs } = this.#options;
      const answer = await this.#client.call(PluginDefinition, "synchronize", request, { timeoutMs });
      updates.push(...answer.update);
    }
    return updates;
  }

  wants(call: EventCall): boolean {
    return !this.isClosed && (this.#events & eventBit(eventOf[call])) !== 0;
  }

  /**
   * Asks the plugin. One that has gone or does not answer in time is disconnected, and has said nothing.
   *
   * @throws what the plugin answers with
   */
  async ask<K extends EventCall>(
    ctx: CallContext,
    call: K,
    request: RequestOf<typeof PluginDefinition, K>,
  ): Promise<ResponseOf<typeof PluginDefinition, K> | undefined> {
    if (!this.wants(call)) return undefined;
    const options = { timeoutMs: this.#options.requestTimeoutMs, signal: ctx.signal };
    try {
      if (this.#old.has(call)) return await this.#tellStateChange(call, request, options);
      return await this.#client.call(PluginDefinition, call, request, options);
    } catch (error) {
      if (isKind(error, "not-implemented") && isStateChange(call)) {
        this.#old.add(call);
        return this.ask(ctx, call, request);
      }
      ctx.signal.throwIfAborted();
      if (!isKind(error, "deadline-exceeded") && !this.isClosed) throw this.#failure(call, error);
      ctx.log.warn(
        { plugin: this.name, call, err: messageOf(error) },
        "NRI plugin does not answer, it is disconnected",
      );
      this.close();
      return undefined;
    }
  }

  close(): void {
    this.#client.close();
    this.#server.close();
    this.#mux.close();
  }

  #failure(call: EventCall, error: unknown): Error {
    return failedPrecondition(`NRI plugin "${this.name}" fails ${call}: ${messageOf(error)}`, { cause: error });
  }

  async #tellStateChange<K extends EventCall>(
    call: K,
    request: RequestOf<typeof PluginDefinition, K>,
    options: { timeoutMs: number; signal: AbortSignal },
  ): Promise<undefined> {
    const { pod, container } = request as { pod?: PodSandbox; container?: Container };
    const change = { event: eventOf[call] as never, pod, container };
    await this.#client.call(PluginDefinition, "stateChange", change, options);
    return undefined;
  }

  #register({ pluginName: name, pluginIdx: index }: RegisterPluginRequest): Record<string, never> {
    if (this.#identity === undefined) {
      if (!/^[A-Za-z0-9_.+-]+$/.test(name)) throw invalidArgument(`NRI plugin name "${name}"`);
      if (!/^\d\d$/.test(index)) throw invalidArgument(`NRI plugin index "${index}": it must be two digits`);
      this.#identity = { index, name };
    }
    this.#registered.resolve(this.#identity);
    return {};
  }

  async #update(updates: readonly ContainerUpdate[]): Promise<ContainerUpdate[]> {
    if (this.#events === 0) throw failedPrecondition(`NRI plugin "${this.name}" is not configured yet`);
    return [...(await this.#options.update(updates))];
  }

  async #untilRegistered(): Promise<void> {
    const ms = this.#options.registrationTimeoutMs;
    const late = (): void => this.#registered.reject(deadlineExceeded(`NRI plugin did not register within ${ms} ms`));
    const timer = setTimeout(late, ms);
    try {
      await this.#registered.promise;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Whether old plugins know a call as a change of state. */
function isStateChange(call: EventCall): boolean {
  const others: readonly EventCall[] = [
    "createContainer",
    "updateContainer",
    "stopContainer",
    "updatePodSandbox",
    "validateContainerAdjustment",
  ];
  return !others.includes(call);
}

type Part = Omit<SynchronizeRequest, "more">;

/** Requests that are each small enough. There is one at least. */
function partsOf(pods: readonly PodSandbox[], containers: readonly Container[]): Part[] {
  const parts: Part[] = [{ pods: [], containers: [] }];
  let size = 0;
  const add = (one: Part): void => {
    const bytes = SynchronizeRequest.encode({ ...one, more: false }).finish().length;
    if (size > 0 && size + bytes > maxSyncBytes) {
      parts.push({ pods: [], containers: [] });
      size = 0;
    }
    size += bytes;
    const last = parts.at(-1) as Part;
    last.pods.push(...one.pods);
    last.containers.push(...one.containers);
  };
  for (const pod of pods) add({ pods: [pod], containers: [] });
  for (const container of containers) add({ pods: [], containers: [container] });
  return parts;
}
