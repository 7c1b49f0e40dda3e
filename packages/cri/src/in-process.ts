/** What the plugins take from the daemon that they are in. */
import { dirname, join } from "node:path";
import type { Client } from "@ctrd/client";
import { fromDaemon } from "@ctrd/client";
import { EventPlugin } from "@ctrd/core/events";
import { LeasePlugin } from "@ctrd/core/leases";
import type { InitContext, Requirement } from "@ctrd/core/plugin";
import { SandboxStorePlugin } from "@ctrd/core/sandboxes";
import {
  ContainersService,
  ContentService,
  DiffService,
  ImagesService,
  NamespacesService,
  SnapshotsService,
  TasksService,
} from "@ctrd/core/services";
import { isKind } from "@ctrd/core/errors";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import type { CriDirectories } from "./sandboxes/layout.ts";
import { criNamespace } from "./store/cri.ts";

/** The services of the client. */
export const clientServices: readonly Requirement[] = [
  ContainersService,
  ContentService,
  DiffService,
  ImagesService,
  NamespacesService,
  SnapshotsService,
  TasksService,
  EventPlugin,
  LeasePlugin,
  SandboxStorePlugin,
];

/** A client in the namespace of CRI, which is made when it is missing. */
export async function criClient(ic: InitContext<unknown>): Promise<Client> {
  const daemon = { find: ic.find.bind(ic), getAll: ic.getAll.bind(ic) };
  const client = fromDaemon(daemon, { namespace: criNamespace, log: ic.log });
  try {
    await client.namespaces.create(client.context(), { name: criNamespace, labels: new Map() });
  } catch (error) {
    if (!isKind(error, "already-exists")) throw error;
  }
  return client;
}

/** Directories of CRI, whichever of its plugins asks. */
export function criDirectories({ root, state }: InitContext<unknown>): CriDirectories {
  const name = "io.containerd.grpc.v1.cri";
  return { root: join(dirname(root), name), state: join(dirname(state), name) };
}

/** Where snapshotters say that they are; below the daemon's root, as containerd lays it out, when they do not. */
export function snapshotterRoots(ic: InitContext<unknown>): (name: string) => string {
  const { name: type } = SnapshotPlugin;
  return (name) => {
    const status = ic.plugins().find((plugin) => plugin.type === type && plugin.id === name);
    return status?.meta.exports.get("root") ?? join(dirname(ic.root), `${type}.${name}`);
  };
}
