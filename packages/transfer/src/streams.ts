/**
 * Streams between clients and the daemon, and the service that opens them.
 *
 * @module
 */
import type { Any as AnyMessage } from "@ctrd/api/google/protobuf/any";
import { Empty } from "@ctrd/api/google/protobuf/empty";
import { StreamInit, StreamingDefinition } from "@ctrd/api/services/streaming/v1/streaming";
import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { alreadyExists, canceled, invalidArgument, notFound } from "@ctrd/core/errors";
import type { Any } from "@ctrd/core/records";
import type { NamedStream, StreamManager } from "@ctrd/core/streaming";
import { isProtoAny, protoAny } from "@ctrd/core/typeurl";
import type { BoundService } from "@ctrd/services";
import { bindService } from "@ctrd/services";
import type { LeaseWatch } from "./lease-watch.ts";

/**
 * Makes a manager without streams.
 *
 * @param watch closes streams with the lease that they were opened under; without, they do not depend on leases
 */
export function createStreamManager(watch?: LeaseWatch): StreamManager {
  const streams = new Map<string, NamedStream>();
  const keyOf = (ctx: CallContext, id: string): string => `${requireNamespace(ctx)}/${id}`;
  return {
    register(ctx, id, stream) {
      const key = keyOf(ctx, id);
      if (streams.has(key)) throw alreadyExists(`stream "${id}"`);
      streams.set(key, stream);
      watch?.add(ctx, stream);
    },
    get(ctx, id) {
      const stream = streams.get(keyOf(ctx, id));
      if (stream === undefined) throw notFound(`stream "${id}"; open it before the transfer that uses it`);
      return stream;
    },
    unregister(ctx, id, stream) {
      const key = keyOf(ctx, id);
      if (streams.get(key) === stream) streams.delete(key);
      watch?.remove(stream);
    },
  };
}

/** Serves containerd's Streaming service. */
export function serveStreaming(manager: StreamManager): BoundService {
  return bindService(StreamingDefinition, {
    stream: (ctx, messages) => openStream(ctx, manager, messages),
  });
}

async function* openStream(
  ctx: CallContext,
  manager: StreamManager,
  messages: AsyncIterable<Any>,
): AsyncGenerator<AnyMessage> {
  const incoming = messages[Symbol.asyncIterator]();
  const first = await incoming.next();
  if (first.done === true || !isProtoAny(first.value, "containerd.services.streaming.v1.StreamInit")) {
    throw invalidArgument("open a stream: the first message must be a StreamInit");
  }
  const { id } = StreamInit.decode(first.value.value);
  if (id === "") throw invalidArgument("open a stream: the id must be set");
  const stream = new ServedStream(incoming);
  manager.register(ctx, id, stream);
  try {
    yield protoAny("google.protobuf.Empty", Empty.encode(Empty.create()).finish());
    yield* stream.outgoing();
  } finally {
    manager.unregister(ctx, id, stream);
    stream.close();
  }
}

interface Waiting {
  message: Any;
  sent(): void;
}

/** The server's side of one stream. */
class ServedStream implements NamedStream {
  readonly #incoming: AsyncIterator<Any>;
  readonly #queue: Waiting[] = [];
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(incoming: AsyncIterator<Any>) {
    this.#incoming = incoming;
  }

  async send(message: Any): Promise<void> {
    if (this.#closed) throw canceled("send on a stream: it has ended");
    await new Promise<void>((resolve) => {
      this.#queue.push({ message, sent: resolve });
      this.#wakeUp();
    });
  }

  async receive(): Promise<Any | undefined> {
    const next = await this.#incoming.next();
    return next.done === true ? undefined : next.value;
  }

  close(): void {
    this.#closed = true;
    this.#wakeUp();
  }

  /** What is sent, until the stream is closed. The consumer takes one message at a time. */
  async *outgoing(): AsyncGenerator<Any> {
    try {
      for (;;) {
        const next = this.#queue.shift();
        if (next !== undefined) {
          yield next.message;
          next.sent();
        } else if (this.#closed) {
          return;
        } else {
          await new Promise<void>((resolve) => (this.#wake = resolve));
        }
      }
    } finally {
      this.#closed = true;
      // Nobody waits for a peer that has left.
      for (const { sent } of this.#queue.splice(0)) sent();
    }
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
