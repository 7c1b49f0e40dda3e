/**
 * Lists of pods and containers, encoded. Kubelets ask for them every second, and of an entry only its state ever changes:
 * it is encoded once.
 *
 * @module
 */
import { ListContainersResponse, ListPodSandboxResponse } from "@ctrd/api/cri/runtime/v1/api";
import { EncodedMessage } from "@ctrd/services";
import type { Container } from "../containers/container.ts";
import { listedContainer } from "../containers/status-message.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { listedSandbox } from "../sandboxes/status-message.ts";

/** A record with its entry, as a list of this entry alone. */
interface Entry {
  readonly state: unknown;
  readonly createdAt: bigint;
  readonly bytes: Uint8Array;
}

/** Encodes lists of records. Protobuf lets lists be put together from lists: their messages stand behind each other. */
class ListEncoder<T extends object, M extends { readonly state: unknown; readonly createdAt: bigint }> {
  readonly #entries = new WeakMap<T, Entry>();
  readonly #listed: (record: T) => M;
  readonly #encode: (entry: M) => Uint8Array;

  /**
   * @param listed the entry of a record
   * @param encode encodes a list of one entry
   */
  constructor(listed: (record: T) => M, encode: (entry: M) => Uint8Array) {
    [this.#listed, this.#encode] = [listed, encode];
  }

  /** The message that lists these records. */
  list(records: readonly T[]): EncodedMessage {
    return new EncodedMessage(Buffer.concat(records.map((record) => this.#bytesOf(record))));
  }

  #bytesOf(record: T): Uint8Array {
    const listed = this.#listed(record);
    const { state, createdAt } = listed;
    const known = this.#entries.get(record);
    if (known !== undefined && known.state === state && known.createdAt === createdAt) return known.bytes;
    const bytes = this.#encode(listed);
    this.#entries.set(record, { state, createdAt, bytes });
    return bytes;
  }
}

const containers = new ListEncoder(listedContainer, (entry) =>
  ListContainersResponse.encode({ containers: [entry] }).finish(),
);
const sandboxes = new ListEncoder(listedSandbox, (entry) => ListPodSandboxResponse.encode({ items: [entry] }).finish());

/** The answer of ListContainers. */
export function containerList(records: readonly Container[]): EncodedMessage {
  return containers.list(records);
}

/** The answer of ListPodSandbox. */
export function sandboxList(records: readonly Sandbox[]): EncodedMessage {
  return sandboxes.list(records);
}
