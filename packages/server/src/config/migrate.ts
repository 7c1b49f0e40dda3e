import type { KeyPath, Table } from "./key-path.ts";
import { valueAt } from "./key-path.ts";
import { migrateCri } from "./migrate-cri.ts";
import type { Migrated } from "./migration.ts";
import { Migration } from "./migration.ts";

/** Newest version of the layout: containerd 2.3's. */
export const latestVersion = 4;

/** Brings a table of `version` (0 = absent = 1) to the newest layout. The argument is not changed. */
export function migrate(table: Table, version: number): Migrated {
  const migration = new Migration(table);
  if (version < 2) toVersion2(migration);
  if (version < 3) toVersion3(migration);
  toVersion4(migration);
  return migration;
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
const bareSnapshotters = new Set([
  "aufs",
  "btrfs",
  "devmapper",
  "native",
  "overlayfs",
  "windows",
  "windows-lcow",
  "zfs",
]);

/** The `<type>.<id>` of a plugin that a version 1 file calls by its id. */
function uriOfBareName(name: string): string {
  if (name.includes(".")) return name;
  const known = bareNames.get(name);
  if (known !== undefined) return known;
  if (bareSnapshotters.has(name)) return `io.containerd.snapshotter.v1.${name}`;
  return name.endsWith("-service") ? `io.containerd.service.v1.${name}` : `io.containerd.grpc.v1.${name}`;
}

const pluginLists = ["disabled_plugins", "required_plugins"] as const;

function toVersion2(migration: Migration): void {
  for (const name of migration.keys(["plugins"])) {
    const uri = uriOfBareName(name);
    if (uri !== name) migration.move(["plugins", name], ["plugins", uri]);
  }
  for (const key of pluginLists) {
    const list = migration.table[key];
    if (!Array.isArray(list)) continue;
    migration.table[key] = list.map((name: unknown) => (typeof name === "string" ? uriOfBareName(name) : name));
  }
}

const renamedPlugins: ReadonlyMap<string, string> = new Map([
  ["io.containerd.monitor.v1.cgroups", "io.containerd.monitor.task.v1.cgroups"],
  ["io.containerd.internal.v1.restart", "io.containerd.monitor.container.v1.restart"],
]);
const removedPlugins: ReadonlyMap<string, string> = new Map([
  [
    "io.containerd.runtime.v1.linux",
    "the runtime io.containerd.runtime.v1.linux ended with containerd 1.x; use io.containerd.runc.v2",
  ],
  [
    "io.containerd.snapshotter.v1.aufs",
    "the aufs snapshotter ended with containerd 1.x; use overlayfs, or add a package that provides it",
  ],
]);

function toVersion3(migration: Migration): void {
  for (const [from, to] of renamedPlugins) migration.move(["plugins", from], ["plugins", to]);
  for (const [uri, reason] of removedPlugins) {
    const path = ["plugins", uri];
    if (valueAt(migration.table, path) !== undefined) migration.drop(path, reason, migration.keys(path).length === 0);
  }
  for (const key of pluginLists) {
    const list = migration.table[key];
    if (!Array.isArray(list)) continue;
    migration.table[key] = list.map((uri: unknown) =>
      typeof uri === "string" ? (renamedPlugins.get(uri) ?? uri) : uri,
    );
  }
  dropDisabled(migration);
  moveSchedCore(migration);
  migrateCri(migration);
}

/** A plugin that is gone is off anyway. One that is required and gone is missed. */
function dropDisabled(migration: Migration): void {
  const list = migration.table["disabled_plugins"];
  if (!Array.isArray(list)) return;
  const isGone = (uri: unknown): boolean => removedPlugins.has(String(uri));
  for (const [index, uri] of list.entries()) {
    if (isGone(uri)) migration.record(["disabled_plugins", index], "the plugin is gone anyway");
  }
  migration.table["disabled_plugins"] = list.filter((uri: unknown) => !isGone(uri));
}

/** Core scheduling became an environment variable of shims. */
function moveSchedCore(migration: Migration): void {
  const from = ["plugins", "io.containerd.runtime.v2.task", "sched_core"];
  const value = valueAt(migration.table, from);
  if (value === undefined) return;
  if (value !== true) {
    migration.drop(from, "it sets nothing");
    return;
  }
  const to = ["plugins", "io.containerd.shim.v1.manager", "env"];
  const env = valueAt(migration.table, to);
  if (Array.isArray(env)) {
    env.push("SCHED_CORE=1");
    migration.drop(from, "it is SCHED_CORE=1 in the env of io.containerd.shim.v1.manager now");
    return;
  }
  migration.move(from, to);
  migration.set(to, ["SCHED_CORE=1"]);
}

const server = (id: string): KeyPath => ["plugins", `io.containerd.server.v1.${id}`];

/** Sections of listeners became plugin tables. Zero values there mean "not set". */
function toVersion4(migration: Migration): void {
  const tcp = (key: string): string | undefined =>
    key === "tcp_address" ? "address" : key.startsWith("tcp_tls_") ? key.slice("tcp_".length) : undefined;
  migration.moveKeys(["grpc"], server("grpc-tcp"), tcp);
  migration.moveKeys(["grpc"], server("grpc"));
  migration.moveKeys(["ttrpc"], server("ttrpc"));
  for (const key of ["address", "uid", "gid"]) {
    migration.move(["debug", key], [...server("debug"), key], { dropZero: true });
  }
  const histogram = ["plugins", "io.containerd.metrics.v1.grpc-prometheus", "grpc_histogram"];
  migration.move(["metrics", "grpc_histogram"], histogram, { dropZero: true });
  migration.moveKeys(["metrics"], server("metrics"));
  const pluginDir = migration.table["plugin_dir"];
  if (pluginDir !== undefined) {
    const reason = "plugins are npm packages, the dependencies of an app folder (ctrd --app DIR)";
    migration.drop(["plugin_dir"], reason, pluginDir === "");
  }
}
