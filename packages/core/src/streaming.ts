/**
 * Streams between a client and the daemon, by name: what does not fit into one call.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Any } from "./records.ts";

export const StreamingPlugin: PluginType<StreamManager> = pluginType("io.containerd.streaming.v1");

/** A stream of messages in both directions. */
export interface NamedStream {
  /** Sends; resolves when another message may follow. @throws `canceled` once the peer has left */
  send(message: Any): Promise<void>;
  /** The next message; undefined when the peer has ended its side. */
  receive(): Promise<Any | undefined>;
  /** Ends the stream. */
  close(): void;
}

/** The streams that clients have opened. */
export interface StreamManager {
  /** @throws `already-exists` when the namespace has a stream of this id */
  register(ctx: CallContext, id: string, stream: NamedStream): void;
  /** @throws `not-found` */
  get(ctx: CallContext, id: string): NamedStream;
  /** Forgets a stream that has ended; another one under its id stays. */
  unregister(ctx: CallContext, id: string, stream: NamedStream): void;
}
