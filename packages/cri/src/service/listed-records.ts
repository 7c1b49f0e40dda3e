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

/** The entry of a record in one of its states, as a list of this entry alone. */
interface Entry {
  readonly state: unknown;
  readonly bytes: Uint8Array;
}

/** Encodes lists of records. Protobuf lets lists be put together from lists: their messages stand behind each other. */
class ListEncoder<T extends { readonly state: unknown }> {
  readonly #entries = new WeakMap<T, Entry>();
  readonly #encode: (record: T) => Uint8Array;

  /** @param encode encodes a list of one record */
  constructor(encode: (record: T) => Uint8Array) {
    this.#encode = encode;
  }

  /** The message that lists these records. */
  list(records: readonly T[]): EncodedMessage {
    return new EncodedMessage(Buffer.concat(records.map((record) => this.#bytesOf(record))));
  }

  #bytesOf(record: T): Uint8Array {
    const { state } = record;
    const known = this.#entries.get(record);
    if (known !== undefined && known.state === state) return known.bytes;
    const bytes = this.#encode(record);
    this.#entries.set(record, { state, bytes });
    return bytes;
  }
}

const containers = new ListEncoder<Container>((record) =>
  ListContainersResponse.encode({ containers: [listedContainer(record)] }).finish(),
);
const sandboxes = new ListEncoder<Sandbox>((record) =>
  ListPodSandboxResponse.encode({ items: [listedSandbox(record)] }).finish(),
);

/** The answer of ListContainers. */
export function containerList(records: readonly Container[]): EncodedMessage {
  return containers.list(records);
}

/** The answer of ListPodSandbox. */
export function sandboxList(records: readonly Sandbox[]): EncodedMessage {
  return sandboxes.list(records);
}
