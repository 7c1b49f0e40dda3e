/**
 * The connection of one command to its daemon.
 *
 * @module
 */
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import type { Client } from "@ctrd/client";
import { connect } from "@ctrd/client";
import type { ContainerStore } from "@ctrd/core/containers";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { errnoOf, messageOf } from "@ctrd/core/errors";
import type { IntrospectionService } from "@ctrd/core/introspection";
import type { LeaseManager } from "@ctrd/core/leases";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import type { ImageService } from "@ctrd/core/services";
import type { SnapshotterLookup } from "@ctrd/core/snapshots";
import type { TaskService } from "@ctrd/core/tasks";
import { CommandFailure } from "./failure.ts";
import type { Globals } from "./globals.ts";
import { Interruption } from "./interruption.ts";

/** A client, and the context of calls that end when the command is interrupted. */
export class Session implements AsyncDisposable {
  readonly address: string;
  readonly client: Client;
  readonly interruption: Interruption;
  readonly ctx: CallContext;

  constructor(address: string, client: Client, interruption: Interruption) {
    [this.address, this.client, this.interruption] = [address, client, interruption];
    this.ctx = client.context({ signal: this.signal });
  }

  /** Aborts when the command is interrupted. */
  get signal(): AbortSignal {
    return this.interruption.signal;
  }

  get content(): ContentStore {
    return this.client.content;
  }

  get images(): ImageService {
    return this.client.images;
  }

  get leases(): LeaseManager {
    return this.client.services.leasesService;
  }

  get namespaces(): NamespaceStore {
    return this.client.namespaces;
  }

  get snapshotters(): SnapshotterLookup {
    return this.client.services.snapshotters;
  }

  get containers(): ContainerStore {
    return this.client.services.containerService;
  }

  get tasks(): TaskService {
    return this.client.services.taskService;
  }

  get introspection(): IntrospectionService {
    return this.client.services.introspectionService;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    this.interruption.release();
  }
}

/**
 * Connects to the daemon.
 *
 * @throws CommandFailure that says how to get a daemon
 */
export async function openSession({ address, namespace }: Globals): Promise<Session> {
  const interruption = new Interruption();
  try {
    await checkAddress(address);
    const client = await connect(address, { namespace, log: warnings, signal: interruption.signal });
    return new Session(address, client, interruption);
  } catch (error) {
    interruption.release();
    throw error;
  }
}

const write = (fields: Record<string, unknown>, message: string): void => {
  const detail = typeof fields["err"] === "string" ? `: ${fields["err"]}` : "";
  process.stderr.write(`ctrd: ${message}${detail}\n`);
};
/** What libraries warn of concerns the user; the rest does not. */
const warnings: Logger = { ...silentLogger, warn: write, error: write, child: () => warnings };

/** gRPC would go on trying for long where one attempt tells. */
async function checkAddress(address: string): Promise<void> {
  const path = address.replace(/^unix:\/\//, "");
  if (!path.startsWith("/")) return;
  const socket = connectSocket(path);
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
