/**
 * One exec or attach whose client is connected: the same over SPDY and WebSocket.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { ChannelStream } from "../channel-stream.ts";
import type { StreamingRequest } from "../requests.ts";
import type { ProcessStreams, StreamingRuntime } from "../runtime.ts";
import { Resizes } from "./resize.ts";
import type { Outcome } from "./status.ts";
import { statusText } from "./status.ts";

/** A prepared exec or attach. */
export type CommandRequest = Extract<StreamingRequest, { kind: "exec" | "attach" }>;

/** The client's streams. Those that were not asked for are absent. */
export interface CommandChannels {
  readonly stdin?: ChannelStream | undefined;
  readonly stdout?: ChannelStream | undefined;
  readonly stderr?: ChannelStream | undefined;
  readonly error: ChannelStream;
  readonly resize?: ChannelStream | undefined;
  /** Whether the client reads the outcome as JSON. */
  readonly jsonStatus: boolean;
}

/** Runs the call, tells the client its outcome and ends the client's streams. */
export async function runCommand(
  ctx: CallContext,
  runtime: StreamingRuntime,
  call: CommandRequest,
  channels: CommandChannels,
): Promise<void> {
  const { stdin, stdout, stderr, error, jsonStatus } = channels;
  if (stdin !== undefined) stdin.endsWhenLost = true;
  // Clients do not send on these; what they send anyway must not fill up the connection.
  for (const output of [stdout, stderr, error]) output?.resume();
  const resizes = new Resizes(channels.resize);
  const outcome = await callRuntime(ctx, runtime, call, {
    tty: call.request.tty,
    ...(stdin === undefined ? {} : { stdin }),
    ...(stdout === undefined ? {} : { stdout }),
    ...(stderr === undefined ? {} : { stderr }),
    onResize: (listener) => resizes.listen(listener),
  });
  if ("error" in outcome) ctx.log.debug({ err: messageOf(outcome.error) }, `${call.kind} failed`);
  await Promise.all([flush(stdout), flush(stderr)]);
  error.write(statusText(outcome, jsonStatus));
  await flush(error);
}

async function callRuntime(
  ctx: CallContext,
  runtime: StreamingRuntime,
  call: CommandRequest,
  streams: ProcessStreams,
): Promise<Outcome> {
  const { containerId } = call.request;
  if (call.kind === "exec") {
    try {
      return { exitCode: await runtime.exec(ctx, { containerId, cmd: call.request.cmd, ...streams }) };
    } catch (error) {
      return { error, doing: "error executing command in container" };
    }
  }
  try {
    await runtime.attach(ctx, { containerId, ...streams });
    return { exitCode: 0 };
  } catch (error) {
    return { error, doing: "error attaching to container" };
  }
}

/** Ends a stream and waits until all of it has left, or the client has gone. */
async function flush(stream: Writable | undefined): Promise<void> {
  if (stream === undefined) return;
  stream.end();
  // A client that has gone is no failure of the call.
  await finished(stream, { readable: false }).catch(() => {});
}
