/**
 * A client of a daemon behind a socket.
 *
 * @module
 */
import { isKind } from "@ctrd/core/errors";
import {
  checkHealth,
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
  proxyOperations,
  proxyPulls,
  proxySandboxes,
  proxySnapshotter,
  proxyTasks,
  proxyTransfers,
} from "@ctrd/services";
import type { RpcChannel } from "@ctrd/services";
import type { ClientOptions } from "./client.ts";
import { Client } from "./client.ts";
import { untilAborted } from "./errors.ts";
import type { ServiceOverrides, ServiceSource } from "./services.ts";
import { joinServices } from "./services.ts";

/** Options of {@link connect}. */
export interface ConnectOptions extends ClientOptions, ServiceOverrides {
  /** Milliseconds to wait for the daemon; 10 s by default. */
  readonly timeoutMs?: number;
  /** Gives up connecting. The client itself lives until it is closed. */
  readonly signal?: AbortSignal;
}

/**
 * Connects to ctrd or to a containerd.
 *
 * ```ts
 * await using client = await connect("/run/ctrd/ctrd.sock", { namespace: "default" });
 * ```
 *
 * @param address path of the daemon's socket, or `<host>:<port>`
 * @throws ContainerdError `deadline-exceeded` when no daemon answers, `canceled`
 */
export async function connect(address: string, options: ConnectOptions = {}): Promise<Client> {
  const channel = openChannel(address);
  try {
    const signal = options.signal ?? new AbortController().signal;
    await untilAborted(`connect to "${address}"`, channel.ready(options.timeoutMs), signal);
  } catch (error) {
    channel.close();
    throw error;
  }
  return new Client(options, {
    services: joinServices(remoteServices(channel), options),
    async isServing(ctx) {
      try {
        return await checkHealth(channel, ctx);
      } catch (error) {
        if (isKind(error, "unavailable")) return false;
        throw error;
      }
    },
    close: () => channel.close(),
  });
}

function remoteServices(channel: RpcChannel): ServiceSource {
  return {
    containerService: () => proxyContainers(channel),
    contentStore: () => proxyContentStore(channel),
    diffService: () => proxyDiffer(channel),
    eventService: () => proxyEvents(channel),
    imageService: () => proxyImages(channel),
    leasesService: () => proxyLeases(channel),
    namespaceService: () => proxyNamespaces(channel),
    operationService: () => proxyOperations(channel),
    pullService: () => proxyPulls(channel),
    snapshotters: () => ({ get: (name) => proxySnapshotter(channel, name) }),
    taskService: () => proxyTasks(channel),
    transferService: () => proxyTransfers(channel),
    sandboxStore: () => proxySandboxes(channel),
    introspectionService: () => proxyIntrospection(channel),
    versionService: () => ({ version: (ctx) => fetchVersion(channel, ctx) }),
  };
}
