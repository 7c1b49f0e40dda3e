import type { KeyPath, Table } from "./key-path.ts";
import { formatKeyPath, isTable, valueAt } from "./key-path.ts";

/** Newest version of the layout: containerd 2.3's. */
export const latestVersion = 4;

/** A value that has no place in the newest layout. `path` is where it stood. */
export interface DroppedValue {
  readonly path: KeyPath;
  readonly value: unknown;
  readonly reason: string;
}

/** A document in the newest layout. */
export interface Migrated {
  readonly dropped: readonly DroppedValue[];
  readonly table: Table;
  readonly origins: ReadonlyMap<string, KeyPath>;
  readonly warnings: readonly string[];
}

/** Brings a table of `version` (0 = absent = 1) to the newest layout. The argument is not changed. */
export function migrate(table: Table, version: number): Migrated {
  const migration = new Migration(table);
  if (version < 2) toVersion2(migration);
  if (version < 3) toVersion3(migration);
  toVersion4(migration);
  return migration;
}

class Migration implements Migrated {
  readonly table: Table;
  readonly origins: Map<string, KeyPath> = new Map();
  readonly warnings: string[] = [];
  readonly dropped: DroppedValue[] = [];

  constructor(table: Table) {
    this.table = structuredClone(table);
  }

  /** Moves a value if it is there and the new place is free. A zero value, which means "not set", is only removed. */
  move(from: KeyPath, to: KeyPath, dropZero = false): void {
    const value = valueAt(this.table, from);
    if (value === undefined) return;
    this.remove(from);
    if (dropZero && (value === "" || value === 0 || value === false)) return;
    if (valueAt(this.table, to) !== undefined) {
      this.drop(from, value, `${formatKeyPath(to)} is set too`);
      return;
    }
    let parent = this.table;
    for (const part of to.slice(0, -1)) {
      if (!isTable(parent[part])) parent[part] = Object.create(null) as Table;
      parent = parent[part] as Table;
    }
    const last = to.at(-1);
    if (last !== undefined) parent[last] = value;
    this.origins.set(JSON.stringify(to), this.#originOf(from));
  }

  /** Moves every key of a table; `rename` maps keys, by default to themselves. */
  moveKeys(from: KeyPath, to: KeyPath, rename: (key: string) => string | undefined = (key) => key): void {
    for (const key of this.keys(from)) {
      const renamed = rename(key);
      if (renamed !== undefined) this.move([...from, key], [...to, renamed], true);
    }
    if (isTable(valueAt(this.table, from)) && this.keys(from).length === 0) this.remove(from);
  }

  /** Takes a value out and says so. */
  drop(path: KeyPath, value: unknown, reason: string): void {
    const from = this.#originOf(path);
    this.warnings.push(`${formatKeyPath(from)} is ignored: ${reason}`);
    this.dropped.push({ path: from, value, reason });
    this.remove(path);
  }

  keys(path: KeyPath): string[] {
    const value = valueAt(this.table, path);
    return isTable(value) ? Object.keys(value) : [];
  }

  remove(path: KeyPath): void {
    const parent = valueAt(this.table, path.slice(0, -1));
    const last = path.at(-1);
    if (last !== undefined && isTable(parent)) delete parent[last];
  }

  #originOf(path: KeyPath): KeyPath {
    for (let length = path.length; length > 0; length--) {
      const origin = this.origins.get(JSON.stringify(path.slice(0, length)));
      if (origin !== undefined) return [...origin, ...path.slice(length)];
    }
    return path;
  }
}

const bareNames: ReadonlyMap<string, string> = new Map([
  ["cri", "io.containerd.grpc.v1.cri"],
  ["cgroups", "io.containerd.monitor.v1.cgroups"],
  ["linux", "io.containerd.runtime.v1.linux"],
  ["scheduler", "io.containerd.gc.v1.scheduler"],
  ["bolt", "io.containerd.metadata.v1.bolt"],
  ["task", "io.containerd.runtime.v2.task"],
  ["opt", "io.containerd.internal.v1.opt"],
  ["restart", "io.containerd.internal.v1.restart"],
  ["tracing", "io.containerd.internal.v1.tracing"],
  ["otlp", "io.containerd.tracing.processor.v1.otlp"],
]);
const bareSnapshotters = new Set(["aufs", "btrfs", "devmapper", "native", "overlayfs", "zfs"]);

/** The `<type>.<id>` of a plugin that a version 1 file calls by its id. */
function uriOfBareName(name: string): string {
  if (name.includes(".")) return name;
  const known = bareNames.get(name);
  if (known !== undefined) return known;
  if (bareSnapshotters.has(name)) return `io.containerd.snapshotter.v1.${name}`;
  return name.endsWith("-service") ? `io.containerd.service.v1.${name}` : `io.containerd.grpc.v1.${name}`;
}

function toVersion2(migration: Migration): void {
  for (const name of migration.keys(["plugins"])) {
    const uri = uriOfBareName(name);
    if (uri !== name) migration.move(["plugins", name], ["plugins", uri]);
  }
  for (const key of ["disabled_plugins", "required_plugins"]) {
    const list = migration.table[key];
    if (!Array.isArray(list)) continue;
    migration.table[key] = list.map((name: unknown) => (typeof name === "string" ? uriOfBareName(name) : name));
  }
}

const renamedPlugins: ReadonlyMap<string, string> = new Map([
  ["io.containerd.monitor.v1.cgroups", "io.containerd.monitor.task.v1.cgroups"],
  ["io.containerd.internal.v1.restart", "io.containerd.monitor.container.v1.restart"],
]);
const removedPlugins = ["io.containerd.runtime.v1.linux", "io.containerd.snapshotter.v1.aufs"];

function toVersion3(migration: Migration): void {
  for (const [from, to] of renamedPlugins) migration.move(["plugins", from], ["plugins", to]);
  for (const uri of removedPlugins) {
    const path = ["plugins", uri];
    if (migration.keys(path).length > 0)
      migration.drop(path, valueAt(migration.table, path), "the plugin no longer exists");
    else migration.remove(path);
  }
  for (const key of ["disabled_plugins", "required_plugins"]) {
    const list = migration.table[key];
    if (!Array.isArray(list)) continue;
    migration.table[key] = list
      .map((uri: unknown) => (typeof uri === "string" ? (renamedPlugins.get(uri) ?? uri) : uri))
      .filter((uri: unknown) => key === "required_plugins" || !removedPlugins.includes(String(uri)));
  }
  moveSchedCore(migration);
}

/** Core scheduling became an environment variable of shims. */
function moveSchedCore(migration: Migration): void {
  const from = ["plugins", "io.containerd.runtime.v2.task", "sched_core"];
  const value = valueAt(migration.table, from);
  if (value === undefined) return;
  if (value !== true) {
    migration.remove(from);
    return;
  }
  const to = ["plugins", "io.containerd.shim.v1.manager", "env"];
  const env = valueAt(migration.table, to);
  if (Array.isArray(env)) {
    env.push("SCHED_CORE=1");
    migration.remove(from);
    return;
  }
  migration.move(from, to);
  (valueAt(migration.table, to.slice(0, -1)) as Table)["env"] = ["SCHED_CORE=1"];
}

const server = (id: string): KeyPath => ["plugins", `io.containerd.server.v1.${id}`];

/** Sections of listeners became plugin tables. Zero values there mean "not set". */
function toVersion4(migration: Migration): void {
  const tcp = (key: string): string | undefined => (key.startsWith("tcp_") ? key.slice("tcp_".length) : undefined);
  migration.moveKeys(["grpc"], server("grpc-tcp"), tcp);
  migration.moveKeys(["grpc"], server("grpc"));
  migration.moveKeys(["ttrpc"], server("ttrpc"));
  for (const key of ["address", "uid", "gid"]) migration.move(["debug", key], [...server("debug"), key], true);
  const histogram = ["plugins", "io.containerd.metrics.v1.grpc-prometheus", "grpc_histogram"];
  migration.move(["metrics", "grpc_histogram"], histogram, true);
  migration.moveKeys(["metrics"], server("metrics"));
  const pluginDir = migration.table["plugin_dir"];
  if (pluginDir !== undefined) {
    if (pluginDir !== "") migration.drop(["plugin_dir"], pluginDir, "plugins are npm packages");
    else migration.remove(["plugin_dir"]);
  }
}
