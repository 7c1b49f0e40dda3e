/**
 * Where a daemon's files are, and what it says of itself.
 *
 * @module
 */
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Client } from "@ctrd/client";
import type { PluginStatus } from "@ctrd/core/plugin";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";

/** A snapshotter that keeps directories on this machine. */
export interface LocalSnapshotter {
  readonly name: string;
  readonly root: string;
  /** Its database, when it is one that can be read; containerd's cannot. */
  readonly database: string | undefined;
}

/** What checks work with. */
export interface DoctorScope {
  readonly session: Session;
  readonly root: string;
  readonly state: string;
  /** The content store; undefined when it is not on this machine. */
  readonly content: string | undefined;
  /** Bundles, and their work directories. */
  readonly bundles: string;
  readonly work: string;
  readonly snapshotters: readonly LocalSnapshotter[];
  /** The metadata database, when it can be read. */
  readonly metadata: string | undefined;
  /** The daemon's socket, as shims were told. */
  readonly socket: string;
  /** The daemon is ctrd. */
  readonly isCtrd: boolean;
  /** Read all blobs. */
  readonly deep: boolean;
  /** A client for each namespace, by its name. */
  namespaces(): Promise<Map<string, Client>>;
}

/** What was given on the command line. */
export interface ScopeOptions {
  readonly root?: string;
  readonly state?: string;
  readonly deep?: boolean;
}

const task = "io.containerd.runtime.v2.task";

/** Asks the daemon where its files are. @throws CommandFailure when they are not on this machine */
export async function openScope(session: Session, options: ScopeOptions): Promise<DoctorScope> {
  const plugins = await session.introspection.plugins(session.ctx, []);
  const socket = realpathSync(session.address.replace(/^unix:\/\//, ""));
  const exported = (type: string, key: string): string | undefined =>
    plugins.find((plugin) => plugin.type === type)?.meta.exports.get(key);
  const content = exported("io.containerd.content.v1", "root");
  const runtimeRoot = exported("io.containerd.runtime.v2", "root");
  const runtimeState = exported("io.containerd.runtime.v2", "state");
  const root = options.root ?? parentOf(runtimeRoot ?? content);
  const state = options.state ?? parentOf(runtimeState) ?? dirname(socket);
  if (root === undefined || !existsSync(root)) throw elsewhere(root);
  const bundles = [runtimeState, join(state, task), join(state, "state", task)].find(
    (path) => path !== undefined && existsSync(path),
  );
  const metadata = join(root, "io.containerd.metadata.v1.bolt/meta.lmdb");
  return {
    session,
    root,
    state: bundles === undefined ? state : dirname(bundles),
    content: content !== undefined && existsSync(content) ? content : undefined,
    bundles: bundles ?? join(state, task),
    work: runtimeRoot ?? join(root, task),
    snapshotters: localSnapshotters(plugins),
    metadata: existsSync(metadata) ? metadata : undefined,
    socket,
    isCtrd: plugins.some(({ source }) => source !== undefined),
    deep: options.deep === true,
    async namespaces() {
      const names = (await session.namespaces.list(session.ctx)).map(({ name }) => name);
      return new Map(names.map((name) => [name, session.client.inNamespace(name)]));
    },
  };
}

function parentOf(path: string | undefined): string | undefined {
  return path === undefined ? undefined : dirname(path);
}

function elsewhere(root: string | undefined): CommandFailure {
  const where = root === undefined ? "the daemon does not say where its files are" : `there is no ${root}`;
  return new CommandFailure(`doctor works on the daemon's own machine: ${where}`, {
    remedy: "run it there, or name the directories: --root DIR --state DIR",
  });
}

function localSnapshotters(plugins: readonly PluginStatus[]): LocalSnapshotter[] {
  return plugins.flatMap(({ type, id, state, meta }) => {
    const root = meta.exports.get("root");
    if (type !== "io.containerd.snapshotter.v1" || state !== "ok" || root === undefined) return [];
    if (!existsSync(join(root, "snapshots"))) return [];
    const database = join(root, "metadata.db");
    // containerd's own database has the same name; LMDB keeps a lock file beside it.
    return [{ name: id, root, database: existsSync(`${database}-lock`) ? database : undefined }];
  });
}
