import { isAbsolute } from "node:path";
import { parseGoDuration } from "@ctrd/core/durations";
import type { AnyRegistration } from "@ctrd/core/plugin";
import { plainMessage } from "../plain-message.ts";
import type { Finding } from "./check.ts";
import { checkTable, nearest, nearestPlugin, unknownKey } from "./check.ts";
import {
  absentCri,
  idleTimeout,
  isContainerdKey,
  isCriPlugin,
  keyWithoutEffect,
  tableWithoutEffect,
} from "./containerd-keys.ts";
import { daemonTable, defaultTimeouts } from "./daemon-table.ts";
import type { ConfigDocument } from "./document.ts";
import type { KeyPath, Table } from "./key-path.ts";
import { isTable, valueAt } from "./key-path.ts";

/** What is wrong in a document, and what of it has no effect; paths start at its top. */
export interface DocumentReport {
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
  /** The document's table without the keys of plugins that have no effect. */
  readonly table: Table;
}

/** The plugins of a daemon by `<type>.<id>`; undefined: behind a socket, with no table of its own. */
export type KnownPlugins = ReadonlyMap<string, AnyRegistration | undefined>;

/** Checks one document against the schemas of the daemon and of its plugins. */
export async function checkDocument(document: ConfigDocument, plugins: KnownPlugins): Promise<DocumentReport> {
  const check = new DocumentCheck(document.table, plugins);
  await check.run();
  return check;
}

class DocumentCheck implements DocumentReport {
  readonly problems: Finding[] = [];
  readonly warnings: Finding[] = [];
  readonly table: Table;
  readonly #plugins: KnownPlugins;

  constructor(table: Table, plugins: KnownPlugins) {
    this.table = structuredClone(table);
    this.#plugins = plugins;
  }

  async run(): Promise<void> {
    this.problems.push(...(await checkTable(daemonTable, this.table)));
    this.#checkDirectories();
    this.#checkTimeouts();
    for (const key of ["disabled_plugins", "required_plugins"]) this.#checkList(key);
    const tables = this.table["plugins"];
    for (const [uri, table] of Object.entries(isTable(tables) ? tables : {})) {
      if (isTable(table)) await this.#checkPlugin(uri, table);
    }
    this.#warnOfUnsupported();
  }

  #problem(path: KeyPath, message: string): void {
    this.problems.push({ path, message });
  }

  #warn(path: KeyPath, message: string): void {
    this.warnings.push({ path, message });
  }

  #checkDirectories(): void {
    for (const key of ["root", "state", "temp"]) {
      const value = this.table[key];
      // An empty one is what the schema refuses, or means the default.
      if (typeof value !== "string" || value === "" || isAbsolute(value)) continue;
      this.#problem([key], `"${value}" must be an absolute path`);
    }
  }

  #checkTimeouts(): void {
    const timeouts = this.table["timeouts"];
    for (const [name, text] of Object.entries(isTable(timeouts) ? timeouts : {})) {
      if (typeof text !== "string") continue;
      try {
        parseGoDuration(text);
      } catch (error) {
        this.#problem(["timeouts", name], plainMessage(error));
        continue;
      }
      if (Object.hasOwn(defaultTimeouts, name)) continue;
      const suggestion = nearest(name, Object.keys(defaultTimeouts), 2);
      const hint = suggestion === undefined ? "" : `, did you mean "${suggestion}"?`;
      this.#warn(["timeouts", name], `has no effect: ${idleTimeout(name) ?? `no plugin of ctrd's own has it${hint}`}`);
    }
  }

  #checkList(key: string): void {
    const list = this.table[key];
    for (const [index, uri] of (Array.isArray(list) ? list : []).entries()) {
      if (typeof uri !== "string" || this.#plugins.has(uri)) continue;
      const suggestion = nearestPlugin(uri, this.#plugins.keys());
      const hint = suggestion === undefined ? "" : `, did you mean "${suggestion}"?`;
      if (!uri.includes(".")) {
        this.#problem([key, index], `"${uri}" is not a <type>.<id> of a plugin${hint}`);
      } else if (key === "required_plugins") {
        const remedy = hint || ", add its package";
        this.#problem([key, index], `required plugin "${uri}" is not part of this daemon${remedy}`);
      } else {
        this.#warn([key, index], `plugin "${uri}" is not part of this daemon anyway${hint}`);
      }
    }
  }

  async #checkPlugin(uri: string, table: Table): Promise<void> {
    const registration = this.#plugins.get(uri);
    if (registration === undefined) {
      this.#warnOfTable(uri);
      return;
    }
    const findings =
      registration.config === undefined
        ? Object.keys(table).map((key) => ({ path: [key], message: unknownKey(key, []) }))
        : await checkTable(registration.config, table);
    for (const { path, message } of findings) {
      const [key] = path;
      if (path.length === 1 && message.startsWith("unknown key") && isContainerdKey(uri, String(key))) {
        this.#warn(["plugins", uri, ...path], keyWithoutEffect(uri, String(key)));
        delete table[String(key)];
      } else {
        this.#problem(["plugins", uri, ...path], message);
      }
    }
  }

  #warnOfTable(uri: string): void {
    if (isCriPlugin(uri)) {
      // Its plugins are one thing to its users.
      const isFirst = !this.warnings.some(({ path }) => path[0] === "plugins" && isCriPlugin(String(path[1])));
      if (isFirst) this.#warn(["plugins", uri], absentCri);
      return;
    }
    const suggestion = nearestPlugin(uri, this.#plugins.keys());
    const message =
      suggestion === undefined
        ? tableWithoutEffect(uri)
        : `the plugin is not part of this daemon and its table is ignored; did you mean "${suggestion}"?`;
    this.#warn(["plugins", uri], message);
  }

  /** Settings that are understood but that this daemon cannot follow. */
  #warnOfUnsupported(): void {
    const cgroup = ["cgroup", "path"];
    if ((valueAt(this.table, cgroup) ?? "") !== "") {
      this.#warn(cgroup, "has no effect; let the service manager place the daemon into a cgroup");
    }
    const traceIds = ["debug", "log_trace_id"];
    if (valueAt(this.table, traceIds) === true) this.#warn(traceIds, "has no effect: there is no tracing");
  }
}
