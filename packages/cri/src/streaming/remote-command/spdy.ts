/**
 * Exec and attach over SPDY: the client opens one stream for each of the process's.
 *
 * @module
 */
import type { Logger } from "@ctrd/core/log";
import type { IncomingMessage } from "node:http";
import type { ChannelStream } from "../channel-stream.ts";
import type { UpgradeRequest } from "../http-upgrade.ts";
import { switchProtocols } from "../http-upgrade.ts";
import { SpdyConnection } from "../spdy/connection.ts";
import { agreeSpdy } from "../spdy/handshake.ts";
import type { CommandChannels, CommandRequest } from "./session.ts";

/** Versions that are offered. `v5.channel.k8s.io` exists, but over WebSocket only. */
const protocols = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"] as const;

/** A client may open streams that mean nothing to us, but not any number. */
const maxStreams = 16;

type StreamName = "error" | "stdin" | "stdout" | "stderr" | "resize";

/** Checks that the request can be upgraded; the checks that need no connection. */
export function agreeCommand(request: IncomingMessage): { protocol: string; headers: string[] } {
  return agreeSpdy(request, protocols);
}

/** A connection and the streams that come on it. */
export interface SpdyCommand {
  readonly connection: SpdyConnection;
  /** All streams of the call; undefined when they do not come in time. */
  readonly channels: Promise<CommandChannels | undefined>;
}

/** Answers the request and waits for the streams of the call, for `timeoutMs`. */
export function openSpdyCommand(
  { request, socket, head }: UpgradeRequest,
  call: CommandRequest,
  { timeoutMs, log }: { timeoutMs: number; log: Logger },
): SpdyCommand {
  const { protocol, headers } = agreeCommand(request);
  switchProtocols(socket, headers);
  const expected = expectedStreams(call, protocol);
  const streams = new Map<StreamName, ChannelStream>();
  const { promise: complete, resolve } = Promise.withResolvers<boolean>();
  let accepted = 0;
  const connection = new SpdyConnection(socket, head, {
    maxStreams,
    log,
    onStream(stream, streamHeaders) {
      const name = streamHeaders.get("streamtype") as StreamName;
      if (!expected.includes(name)) {
        stream.resume();
        return true;
      }
      streams.set(name, stream);
      accepted += 1;
      if (accepted === expected.length) resolve(true);
      return true;
    },
  });
  const timer = setTimeout(() => resolve(false), timeoutMs);
  void connection.closed.then(() => resolve(false));
  const channels = complete.then((isComplete) => {
    clearTimeout(timer);
    const error = streams.get("error");
    if (!isComplete || error === undefined) return undefined;
    const get = (name: StreamName): ChannelStream | undefined => streams.get(name);
    return {
      stdin: get("stdin"),
      stdout: get("stdout"),
      stderr: get("stderr"),
      error,
      resize: get("resize"),
      jsonStatus: protocol === protocols[0],
    };
  });
  return { connection, channels };
}

function expectedStreams({ request }: CommandRequest, protocol: string): StreamName[] {
  const expected: StreamName[] = ["error"];
  if (request.stdin) expected.push("stdin");
  if (request.stdout) expected.push("stdout");
  if (request.stderr && !request.tty) expected.push("stderr");
  if (request.tty && (protocol === protocols[0] || protocol === protocols[1])) expected.push("resize");
  return expected;
}
