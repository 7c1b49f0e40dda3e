import type { Logger } from "../log.ts";
import type { LoadedPlugin } from "./graph.ts";
import { pluginUri } from "./contract.ts";

interface Closer {
  readonly plugin: LoadedPlugin;
  readonly close: () => void | Promise<void>;
}

/** How long one closer may take before the others go on without it. */
const closeTimeoutMs = 10_000;

/** Clean-up functions of plugins: run once, last first, whatever fails among them. */
export class Closers {
  readonly #log: Logger;
  readonly #closers: Closer[] = [];
  #running: Promise<void> | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  add(plugin: LoadedPlugin, close: () => void | Promise<void>): void {
    this.#closers.push({ plugin, close });
  }

  /** A position for {@link closeSince}. */
  mark(): number {
    return this.#closers.length;
  }

  /** Runs and forgets the closers added after `mark`. */
  async closeSince(mark: number): Promise<void> {
    for (let closer = this.#popAbove(mark); closer !== undefined; closer = this.#popAbove(mark)) {
      await this.#close(closer);
    }
  }

  closeAll(): Promise<void> {
    this.#running ??= this.closeSince(0);
    return this.#running;
  }

  #popAbove(mark: number): Closer | undefined {
    return this.#closers.length > mark ? this.#closers.pop() : undefined;
  }

  async #close({ plugin, close }: Closer): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`not closed after ${closeTimeoutMs} ms`)), closeTimeoutMs);
    });
    try {
      await Promise.race([close(), late]);
    } catch (error) {
      this.#log.error({ plugin: pluginUri(plugin.registration), err: error }, "plugin did not close");
    } finally {
      clearTimeout(timer);
    }
  }
}
