import type { Any as AnyMessage } from "@ctrd/api/google/protobuf/any";
import { StreamInit, StreamingDefinition } from "@ctrd/api/services/streaming/v1/streaming";
import { TransferDefinition } from "@ctrd/api/services/transfer/v1/transfer";
import type { CallContext } from "@ctrd/core/context";
import type { NamedStream } from "@ctrd/core/streaming";
import type { TransferService } from "@ctrd/core/transfer";
import { protoAny } from "@ctrd/core/typeurl";
import type { DuplexCall, RpcChannel } from "../rpc/index.ts";
import { answered } from "../required.ts";

/** Transfers that a daemon does, and the streams that go with them. */
export interface TransferClient extends TransferService {
  /**
   * Opens a stream under a name that a transfer may then use. It ends with the signal of `ctx`.
   *
   * @throws ContainerdError `not-implemented` when the daemon knows no streams, `already-exists`
   */
  openStream(ctx: CallContext, id: string): Promise<NamedStream>;
}

/** The Transfer and Streaming services of a daemon. */
export function proxyTransfers(channel: RpcChannel): TransferClient {
  const transfers = channel.client(TransferDefinition);
  const streams = channel.client(StreamingDefinition);
  return {
    async transfer(ctx, source, destination, { progressStream = "" } = {}) {
      await transfers.transfer(ctx, { source, destination, options: { progressStream } });
    },
    async openStream(ctx, id) {
      const call = streams.stream(ctx);
      const init = StreamInit.encode(StreamInit.create({ id })).finish();
      // When the daemon refuses, its answer tells why, and sending only that the call has ended.
      const sent = call.send(protoAny("containerd.services.streaming.v1.StreamInit", init)).catch(() => {});
      answered(await call.receive(), "the answer that a stream begins with");
      await sent;
      return streamOf(call);
    },
  };
}

function streamOf(call: DuplexCall<AnyMessage, AnyMessage>): NamedStream {
  return {
    send: (message) => call.send(message),
    receive: () => call.receive(),
    close: () => call.end(),
  };
}
