/**
 * Watching a configuration directory, also one that is not there yet.
 *
 * @module
 */
import type { FSWatcher } from "node:fs";
import { watch } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import type { NetworkConfig } from "./config.ts";
import { loadNetworks } from "./load.ts";

/** How the networks of a directory are at the moment. */
export type NetworksState =
  | { readonly networks: readonly NetworkConfig[]; readonly error?: never }
  | { readonly networks?: never; readonly error: unknown };

/** Options of {@link watchNetworks}. */
export interface WatchOptions {
  readonly maxConfNum?: number;
  /** Is called after every change that is noticed, with what was read then. */
  readonly onChange?: (state: NetworksState) => void;
  /** How long nothing must happen before files are read: writers take a moment. 100 ms by default. */
  readonly debounceMs?: number;
}

/** The networks of a directory, kept up to date. */
export interface NetworksWatch extends Disposable {
  /** What was read last. */
  readonly state: NetworksState;
  /** Reads now. */
  reload(): Promise<NetworksState>;
}

const defaultDebounceMs = 100;

/** Reads the networks of a directory and keeps watching it. */
export async function watchNetworks(directory: string, options: WatchOptions = {}): Promise<NetworksWatch> {
  const watcher = new DirectoryWatch(directory, options);
  await watcher.reload();
  return watcher;
}

class DirectoryWatch implements NetworksWatch {
  state: NetworksState = { networks: [] };
  readonly #directory: string;
  readonly #options: WatchOptions;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(directory: string, options: WatchOptions) {
    [this.#directory, this.#options] = [directory, options];
  }

  /** One after the other, so that the last to answer is the last to have read. */
  async reload(): Promise<NetworksState> {
    const turn = this.#turn.then(() => this.#read());
    this.#turn = turn;
    return turn;
  }

  async #read(): Promise<NetworksState> {
    try {
      // Before reading, so that no change in between is missed.
      await this.#follow();
      this.state = { networks: await loadNetworks(this.#directory, this.#options.maxConfNum) };
    } catch (error) {
      this.state = { error };
    }
    return this.state;
  }

  /**
   * Watches the directory, or as long as that is missing the nearest one above it. Anew each time: a directory that was
   * replaced by another of its name is watched no more.
   */
  async #follow(): Promise<void> {
    const present = await nearestDirectory(this.#directory);
    if (this.#closed) return;
    const before = this.#watcher;
    this.#watcher = watch(present, { persistent: false });
    before?.close();
    this.#watcher.on("change", () => this.#changed());
    this.#watcher.on("error", () => this.#changed());
    // It may have been made, or gone, between looking and watching.
    if ((await nearestDirectory(this.#directory)) !== present) await this.#follow();
  }

  #changed(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#tell(), this.#options.debounceMs ?? defaultDebounceMs);
    this.#timer.unref();
  }

  async #tell(): Promise<void> {
    const state = await this.reload();
    if (!this.#closed) this.#options.onChange?.(state);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#watcher?.close();
  }
}

async function nearestDirectory(directory: string): Promise<string> {
  try {
    return await realpath(directory);
  } catch (error) {
    const parent = dirname(directory);
    if (errnoOf(error) !== "ENOENT" || parent === directory) throw error;
    return nearestDirectory(parent);
  }
}
