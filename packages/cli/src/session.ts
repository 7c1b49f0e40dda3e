/**
 * The connection of one command to its daemon.
 *
 * @module
 */
import { connect } from "node:net";
import { once } from "node:events";
import type { ContainerStore } from "@ctrd/core/containers";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import type { Applier } from "@ctrd/core/diff";
import { canceled, errnoOf, messageOf } from "@ctrd/core/errors";
import type { EventService } from "@ctrd/core/events";
import type { ImageStore } from "@ctrd/core/images";
import type { IntrospectionService } from "@ctrd/core/introspection";
import type { LeaseManager } from "@ctrd/core/leases";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import type { SnapshotterLookup } from "@ctrd/core/snapshots";
import type { TaskService } from "@ctrd/core/tasks";
import type { RpcChannel, VersionInfo } from "@ctrd/services";
import {
  fetchVersion,
  openChannel,
  proxyContainers,
  proxyContentStore,
  proxyDiffer,
  proxyEvents,
  proxyImages,
  proxyIntrospection,
  proxyLeases,
  proxyNamespaces,
  proxySnapshotter,
  proxyTasks,
} from "@ctrd/services";
import { CommandFailure, interruptedExitCode } from "./failure.ts";
import type { Globals } from "./globals.ts";

/** A daemon's services, and the context of calls to them. */
export interface Session extends Disposable {
  readonly address: string;
  readonly ctx: CallContext;
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly leases: LeaseManager;
  readonly namespaces: NamespaceStore;
  readonly snapshotters: SnapshotterLookup;
  readonly applier: Applier;
  readonly containers: ContainerStore;
  readonly tasks: TaskService;
  readonly events: EventService;
  readonly introspection: IntrospectionService;
  version(): Promise<VersionInfo>;
}

/**
 * Connects to the daemon.
 *
 * @param signal ends every call; by default the first SIGINT or SIGTERM does
 * @throws CommandFailure that says how to get a daemon
 */
export async function openSession(globals: Globals, signal: AbortSignal = interruption()): Promise<Session> {
  const { address, namespace } = globals;
  await checkAddress(address);
  const channel = openChannel(address);
  return sessionOver(channel, createContext({ namespace, signal, log: warnings }));
}

function sessionOver(channel: RpcChannel, ctx: CallContext): Session {
  return {
    address: channel.address,
    ctx,
    content: proxyContentStore(channel),
    images: proxyImages(channel),
    leases: proxyLeases(channel),
    namespaces: proxyNamespaces(channel),
    snapshotters: { get: (name) => proxySnapshotter(channel, name) },
    applier: proxyDiffer(channel),
    containers: proxyContainers(channel),
    tasks: proxyTasks(channel),
    events: proxyEvents(channel),
    introspection: proxyIntrospection(channel),
    version: () => fetchVersion(channel, ctx),
    [Symbol.dispose]: () => channel.close(),
  };
}

const write = (fields: Record<string, unknown>, message: string): void => {
  const detail = typeof fields["err"] === "string" ? `: ${fields["err"]}` : "";
  process.stderr.write(`ctrd: ${message}${detail}\n`);
};
/** What libraries warn of concerns the user; the rest does not. */
const warnings: Logger = { ...silentLogger, warn: write, error: write, child: () => warnings };

/** Aborts at the first SIGINT or SIGTERM; the second ends the program. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(interruptedExitCode);
      controller.abort(canceled("interrupted"));
    });
  }
  return controller.signal;
}

/** gRPC would go on trying for long where one attempt tells. */
async function checkAddress(address: string): Promise<void> {
  const path = address.replace(/^unix:\/\//, "");
  if (!path.startsWith("/")) return;
  const socket = connect(path);
  try {
    await once(socket, "connect");
  } catch (error) {
    throw unreachable(path, error);
  } finally {
    socket.destroy();
  }
}

function unreachable(path: string, cause: unknown): CommandFailure {
  const start = "start one with: ctrd serve (or name another: --address SOCKET, CTRD_ADDRESS)";
  switch (errnoOf(cause)) {
    case "ENOENT":
      return new CommandFailure(`no daemon at ${path}`, { remedy: start, cause });
    case "ECONNREFUSED":
      return new CommandFailure(`no daemon listens on ${path}: it was stopped or has died`, { remedy: start, cause });
    case "EACCES":
    case "EPERM":
      return new CommandFailure(`you may not use the daemon's socket ${path}`, {
        remedy: "run this as root, or set [grpc] uid and gid in the daemon's configuration",
        cause,
      });
    default:
      return new CommandFailure(`cannot connect to ${path}: ${messageOf(cause)}`, { cause });
  }
}
