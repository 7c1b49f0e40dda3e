import { isSameValue } from "./same-value.ts";
import { messageOf } from "../errors.ts";

/** What a changed configuration did to one plugin. */
export interface PluginReload {
  /** `<type>.<id>`. */
  readonly plugin: string;
  /** Top-level keys whose new values are in force. */
  readonly applied: readonly string[];
  /** Top-level keys that take effect only when the daemon starts again. */
  readonly needRestart: readonly string[];
  /** Why nothing of it could be applied. */
  readonly error?: string;
}

interface Handler {
  readonly keys: readonly string[];
  readonly apply: (config: unknown) => void | Promise<void>;
}

type ConfigTable = Readonly<Record<string, unknown>>;

/** The configuration of one initialised plugin, and what of it may change. */
export class Reloadable {
  readonly #plugin: string;
  readonly #handlers: Handler[] = [];
  #config: ConfigTable;

  constructor(plugin: string, config: unknown) {
    this.#plugin = plugin;
    this.#config = tableOf(config);
  }

  /** In force now. */
  get config(): ConfigTable {
    return this.#config;
  }

  add(handler: Handler): void {
    this.#handlers.push(handler);
  }

  /** Takes over what of `wanted` can change now; undefined when nothing differs. */
  async reload(wanted: unknown): Promise<PluginReload | undefined> {
    const next = tableOf(wanted);
    const names = new Set([...Object.keys(this.#config), ...Object.keys(next)]);
    const changed = [...names].filter((key) => !isSameValue(this.#config[key], next[key]));
    if (changed.length === 0) return undefined;
    const canReload = (key: string): boolean => this.#handlers.some((handler) => handler.keys.includes(key));
    const needRestart = changed.filter((key) => !canReload(key));
    const applied: string[] = [];
    try {
      for (const handler of this.#handlers) {
        const keys = changed.filter((key) => handler.keys.includes(key) && !applied.includes(key));
        if (keys.length === 0) continue;
        const config = { ...this.#config, ...Object.fromEntries(keys.map((key) => [key, next[key]])) };
        await handler.apply(config);
        this.#config = config;
        applied.push(...keys);
      }
      return { plugin: this.#plugin, applied, needRestart };
    } catch (error) {
      return { plugin: this.#plugin, applied, needRestart, error: messageOf(error) };
    }
  }
}

function tableOf(config: unknown): ConfigTable {
  return typeof config === "object" && config !== null ? (config as ConfigTable) : {};
}
