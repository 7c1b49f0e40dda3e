import { lstatSync } from "node:fs";
import { errnoOf, unavailable } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { ChannelState } from "@ctrd/services";

/** How long connecting may take before the peer counts as away, in milliseconds. */
const connectLimitMs = 800;

/** Options of a {@link Peer}. */
export interface PeerOptions {
  /** Name of the plugin: `<type>.<id>`. */
  readonly plugin: string;
  /** Where the configuration names the peer: `[proxy_plugins.<id>]`. */
  readonly table: string;
  /** Path of its socket. */
  readonly path: string;
  readonly log: Logger;
  /** Told of every change: `connected`, or `unreachable since <time>: <reason>`. */
  changed(state: string): void;
}

/** The process behind a proxy plugin, as the connection to it tells: there, being connected to, or away. */
export class Peer {
  readonly #options: PeerOptions;
  #connected = false;
  #away: { readonly since: string; readonly reason: string } | undefined;
  /** Whether `connected` is what was told last. */
  #toldConnected = false;
  #losses = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Aborted when the connection that is being made fails. */
  #attempt = new AbortController();
  #settled = Promise.withResolvers<void>();

  constructor(options: PeerOptions) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#connected;
  }

  get away(): boolean {
    return this.#away !== undefined;
  }

  /** How often the connection was lost. */
  get losses(): number {
    return this.#losses;
  }

  /** Aborts when the peer turns out to be away. */
  get attempt(): AbortSignal {
    return this.#attempt.signal;
  }

  /** Takes the state of the connection. */
  follow(state: ChannelState): void {
    if (state === "ready") {
      this.#arrive();
      return;
    }
    if (this.#connected) {
      this.#connected = false;
      this.#losses++;
    }
    if (this.#away !== undefined) return;
    if (state === "failed") this.#leave(whyAway(this.#options.path));
    else this.#timer ??= setTimeout(() => this.#leave(`no connection within ${connectLimitMs} ms`), connectLimitMs);
  }

  /** Resolves when it is known whether the peer is there, `signal` aborts or `timeoutMs` have passed. */
  async settled(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const enough = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    if (enough.aborted) return;
    enough.addEventListener("abort", () => this.#settled.resolve(), { once: true });
    await this.#settled.promise;
  }

  /** The error of a call that the peer could not answer: plugin, address, why, and what to do. */
  error(cause: unknown): Error {
    const { plugin, path, table } = this.#options;
    const what =
      this.#away === undefined
        ? "the connection was lost during the call; whether the call took effect is not known"
        : `unreachable since ${this.#away.since}, ${this.#away.reason}`;
    const remedy = `start the process that serves it, or correct the address in ${table}`;
    return unavailable(`proxy plugin ${plugin} at ${path}: ${what}; ${remedy}`, { cause });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#settled.resolve();
  }

  #arrive(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#connected = true;
    this.#away = undefined;
    this.#attempt = new AbortController();
    this.#settled.resolve();
    // A peer that was back at once has not changed.
    if (this.#toldConnected) return;
    this.#toldConnected = true;
    this.#options.changed("connected");
    this.#options.log.info({ address: this.#options.path }, "proxy plugin connected");
  }

  #leave(reason: string): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#away = { since: new Date().toISOString(), reason };
    this.#toldConnected = false;
    const { path, table, log, changed } = this.#options;
    changed(`unreachable since ${this.#away.since}: ${reason}`);
    const remedy = `start the process that serves it, or correct the address in ${table}`;
    log.warn({ address: path, reason, remedy }, "proxy plugin unreachable");
    this.#attempt.abort(this.error(undefined));
    this.#settled.resolve();
  }
}

function whyAway(path: string): string {
  try {
    if (!lstatSync(path).isSocket()) return "what is there is not a socket";
    return "nothing that speaks gRPC listens on the socket";
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "there is no such socket";
    return `the socket cannot be reached: ${errnoOf(error) ?? String(error)}`;
  }
}
