/**
 * All networks of a container or pod: `eth0`, `eth1`, …
 *
 * @module
 */
import { ContainerdError, messageOf } from "@ctrd/core/errors";
import type { CapabilityArgs } from "./capabilities.ts";
import type { Attachment, Cni } from "./cni.ts";
import type { NetworkConfig } from "./config.ts";
import type { NetworkResult, ResultDns } from "./result.ts";

/** A container or pod that is put on networks. */
export interface AttachRequest {
  /** Id of the sandbox, or of the container. */
  readonly id: string;
  /** Path of its network namespace; empty when that is gone. */
  readonly netns: string;
  /** The first one's interface is `eth0`. */
  readonly networks: readonly NetworkConfig[];
  /** `CNI_ARGS`; plugins refuse an argument that they do not know unless `IgnoreUnknown` is among them. */
  readonly args?: Readonly<Record<string, string>>;
  readonly capabilities?: CapabilityArgs | ((network: NetworkConfig, index: number) => CapabilityArgs);
  /** Beginning of the interfaces' names; `eth` by default. */
  readonly prefix?: string;
  readonly signal?: AbortSignal;
}

/** An interface that a container has got. */
export interface AttachedInterface {
  readonly network: string;
  readonly name: string;
  readonly mac: string;
  readonly addresses: readonly { readonly ip: string; readonly prefix: number; readonly gateway: string }[];
  readonly dns: ResultDns;
  /** All that the plugins said. */
  readonly result: NetworkResult;
}

/**
 * Attaches a container to its networks, one after the other.
 *
 * @returns its interfaces, in the order of the networks
 * @throws what {@link Cni.add} throws, after all networks were detached again; an AggregateError of both when that fails too
 */
export async function attachNetworks(cni: Cni, request: AttachRequest): Promise<AttachedInterface[]> {
  const attached: AttachedInterface[] = [];
  try {
    for (const [index, network] of request.networks.entries()) {
      const attachment = attachmentOf(request, network, index);
      attached.push(interfaceOf(network, attachment.ifName, await cni.add(network, attachment)));
    }
    return attached;
  } catch (error) {
    throw await undone(cni, request, attached.length, error);
  }
}

/**
 * Detaches a container from its networks, the last one first. All are tried.
 *
 * @throws what {@link Cni.del} throws; an AggregateError of several
 */
export async function detachNetworks(cni: Cni, request: AttachRequest): Promise<void> {
  const failures: unknown[] = [];
  for (const [index, network] of [...request.networks.entries()].toReversed()) {
    try {
      await cni.del(network, attachmentOf(request, network, index));
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, failures.map(messageOf).join("; "));
}

/** Undoes the first `count` networks. @returns what is to be thrown: what fails here is told beside what led to it */
async function undone(cni: Cni, request: AttachRequest, count: number, error: unknown): Promise<unknown> {
  // Not with the signal: that has ended what is undone.
  const { signal: _signal, ...rest } = request;
  const [failed, attached] = [request.networks[count], request.networks.slice(0, count)];
  try {
    if (failed !== undefined) await delFailed(cni, failed, attachmentOf(rest, failed, count));
    await detachNetworks(cni, { ...rest, networks: attached });
    return error;
  } catch (failure) {
    return new AggregateError([error, failure], `${messageOf(error)}; then undoing it: ${messageOf(failure)}`, {
      cause: error,
    });
  }
}

/** What made ADD fail makes DEL fail as well, as a wrong configuration does; the error of ADD says what to do. */
async function delFailed(cni: Cni, network: NetworkConfig, attachment: Attachment): Promise<void> {
  try {
    await cni.del(network, attachment);
  } catch (error) {
    if (!(error instanceof ContainerdError)) throw error;
  }
}

function attachmentOf(request: AttachRequest, network: NetworkConfig, index: number): Attachment {
  const { id, netns, args, capabilities, prefix = "eth", signal } = request;
  return {
    containerId: id,
    netns,
    ifName: `${prefix}${index}`,
    ...(args === undefined ? {} : { args }),
    ...(capabilities === undefined
      ? {}
      : { capabilities: typeof capabilities === "function" ? capabilities(network, index) : capabilities }),
    ...(signal === undefined ? {} : { signal }),
  };
}

function interfaceOf({ name: network }: NetworkConfig, name: string, result: NetworkResult): AttachedInterface {
  const places = result.interfaces.flatMap((each, place) => (each.name === name && each.sandbox ? [place] : []));
  const own = result.ips.filter((ip) => ip.interface === undefined || places.includes(ip.interface));
  return {
    network,
    name,
    mac: result.interfaces[places[0] ?? -1]?.mac ?? "",
    addresses: own.map(({ address, gateway = "" }) => {
      const [ip = "", prefix = ""] = address.split("/");
      return { ip, prefix: Number(prefix), gateway };
    }),
    dns: result.dns,
    result,
  };
}
