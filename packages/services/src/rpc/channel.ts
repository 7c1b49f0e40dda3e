import { deadlineExceeded, messageOf, unavailable } from "@ctrd/core/errors";
import { Client, connectivityState, credentials } from "@grpc/grpc-js";
import type { AnyClientMethod, ClientMethod } from "./client-methods.ts";
import { clientMethod } from "./client-methods.ts";
import type { ServiceDefinition } from "./definition.ts";
import { methodPath } from "./definition.ts";
import { defaultMaxMessageBytes } from "./limits.ts";

/** Options of {@link openChannel}. */
export interface ChannelOptions {
  /** Largest answer in bytes; 16 MiB by default. */
  readonly maxReceiveBytes?: number;
  /** Largest request in bytes; 16 MiB by default. */
  readonly maxSendBytes?: number;
}

/** The methods of a service, as a client calls them. */
export type RpcClient<D extends ServiceDefinition> = {
  readonly [K in keyof D["methods"]]: ClientMethod<D["methods"][K]>;
};

/** State of a connection; `failed` is between two attempts, `idle` before the first or after a loss. */
export type ChannelState = "idle" | "connecting" | "ready" | "failed";

/** A connection to a gRPC server, made when it is first needed and again when it is lost. */
export interface RpcChannel extends Disposable {
  /** Where it connects to. */
  readonly address: string;
  /** The methods of a service. Namespace, lease and cancellation of a call's context go with it. */
  client<D extends ServiceDefinition>(definition: D): RpcClient<D>;
  /**
   * Resolves when the server is connected.
   *
   * @param timeoutMs how long to try; 10 s by default
   * @throws ContainerdError `deadline-exceeded` naming the address
   */
  ready(timeoutMs?: number): Promise<void>;
  /**
   * Keeps the connection up: connects now and whenever it is lost, with growing pauses between attempts, until the
   * channel is closed. `changed` is told of every state, beginning with the present one.
   */
  keepConnected(changed: (state: ChannelState) => void): void;
  /** Ends every call and the connection. */
  close(): void;
}

/** How long {@link RpcChannel.ready} tries by default, as containerd's client does. */
export const defaultConnectTimeoutMs = 10_000;

/** Receive window of a connection and of each of its streams, in bytes: two content chunks. */
const flowControlWindow = 2 << 20;

/**
 * Opens a channel to a gRPC server.
 *
 * @param address absolute path of a unix socket, `unix://<path>`, or `<host>:<port>`
 */
export function openChannel(address: string, options: ChannelOptions = {}): RpcChannel {
  const connection = (): Client => newClient(address, options);
  return new GrpcJsChannel(address, connection(), connection());
}

function newClient(address: string, options: ChannelOptions): Client {
  return new Client(targetOf(address), credentials.createInsecure(), {
    "grpc.max_receive_message_length": options.maxReceiveBytes ?? defaultMaxMessageBytes,
    "grpc.max_send_message_length": options.maxSendBytes ?? defaultMaxMessageBytes,
    // Channels are separate connections: one that is closed or stuck does not touch another.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 3_000,
    // Retrying is the caller's: a replayed Write would corrupt an ingest, and buffering for replay costs a copy.
    "grpc.enable_retries": 0,
    "grpc.enable_channelz": 0,
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
    "grpc-node.flow_control_window": flowControlWindow,
  });
}

const channelStates: ReadonlyMap<connectivityState, ChannelState> = new Map([
  [connectivityState.IDLE, "idle"],
  [connectivityState.CONNECTING, "connecting"],
  [connectivityState.READY, "ready"],
  [connectivityState.TRANSIENT_FAILURE, "failed"],
]);

class GrpcJsChannel implements RpcChannel {
  readonly address: string;
  readonly #client: Client;
  /**
   * For calls that send streams; connected with the first of them. Node reads nothing from an HTTP/2 connection while
   * what it writes has to wait: two of its kind that send much to each other over one connection wait for each other
   * without end.
   */
  readonly #uploads: Client;

  constructor(address: string, client: Client, uploads: Client) {
    this.address = address;
    this.#client = client;
    this.#uploads = uploads;
  }

  client<D extends ServiceDefinition>(definition: D): RpcClient<D> {
    const methods: Record<string, AnyClientMethod> = {};
    for (const [key, method] of Object.entries(definition.methods)) {
      const client = method.requestStream ? this.#uploads : this.#client;
      methods[key] = clientMethod(client, methodPath(definition, method), method);
    }
    return methods as unknown as RpcClient<D>;
  }

  ready(timeoutMs: number = defaultConnectTimeoutMs): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + timeoutMs, (error) => {
        if (error === undefined) return resolve();
        const problem = `connect to "${this.address}": no server answered within ${timeoutMs} ms; check that it runs`;
        const make = /closed/i.test(messageOf(error)) ? unavailable : deadlineExceeded;
        return reject(make(problem, { cause: error }));
      });
    });
  }

  keepConnected(changed: (state: ChannelState) => void): void {
    const channel = this.#client.getChannel();
    const follow = (): void => {
      // Asking connects an idle channel.
      const state = channel.getConnectivityState(true);
      const name = channelStates.get(state);
      // Closed: no state follows.
      if (name === undefined) return;
      channel.watchConnectivityState(state, Infinity, follow);
      changed(name);
    };
    follow();
  }

  close(): void {
    this.#client.close();
    this.#uploads.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function targetOf(address: string): string {
  return address.startsWith("/") ? `unix:${address}` : address;
}
