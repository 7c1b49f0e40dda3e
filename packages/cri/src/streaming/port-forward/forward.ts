/**
 * One forwarded connection: a stream of bytes and one for the failure, as the client sees it.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import { finished } from "node:stream/promises";
import type { ChannelStream } from "../channel-stream.ts";
import type { StreamingRuntime } from "../runtime.ts";

/** The client's streams of one connection. */
export interface ForwardedConnection {
  readonly sandboxId: string;
  readonly port: number;
  readonly data: ChannelStream;
  readonly error: ChannelStream;
}

/** Forwards one connection to its end. A failure is told on the error stream. */
export async function forward(
  ctx: CallContext,
  runtime: StreamingRuntime,
  { sandboxId, port, data, error }: ForwardedConnection,
): Promise<void> {
  error.resume();
  try {
    await runtime.portForward(ctx, { sandboxId, port, stream: data });
  } catch (failure) {
    ctx.log.debug({ sandbox: sandboxId, port, err: messageOf(failure) }, "port-forward failed");
    error.write(`error forwarding port ${port} to pod ${sandboxId}: ${messageOf(failure)}`);
  }
  data.end();
  error.end();
  // A client that has gone is no failure of the call.
  await Promise.allSettled([data, error].map((stream) => finished(stream, { readable: false })));
  data.destroy();
  error.destroy();
}
