/**
 * Exec and attach over WebSocket: numbered channels.
 *
 * @module
 */
import type { Logger } from "@ctrd/core/log";
import type { UpgradeRequest } from "../http-upgrade.ts";
import { switchProtocols } from "../http-upgrade.ts";
import { WebSocketChannels } from "../websocket/channels.ts";
import { WebSocketConnection } from "../websocket/connection.ts";
import { agree } from "../websocket/handshake.ts";
import type { CommandChannels, CommandRequest } from "./session.ts";

interface Protocol {
  readonly base64: boolean;
  readonly jsonStatus: boolean;
  readonly closeChannel: boolean;
}

const plain: Protocol = { base64: false, jsonStatus: false, closeChannel: false };

const protocols: ReadonlyMap<string, Protocol> = new Map([
  ["", plain],
  ["channel.k8s.io", plain],
  ["base64.channel.k8s.io", { ...plain, base64: true }],
  ["v4.channel.k8s.io", { ...plain, jsonStatus: true }],
  ["v4.base64.channel.k8s.io", { ...plain, jsonStatus: true, base64: true }],
  // Not containerd's: the only one that kubectl's and crictl's own WebSocket clients speak.
  ["v5.channel.k8s.io", { ...plain, jsonStatus: true, closeChannel: true }],
]);

/** Numbers of the channels. */
const Channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** Answers the request and makes the channels of the call. */
export function openWebSocketCommand(
  { request, socket, head }: UpgradeRequest,
  { request: call }: CommandRequest,
  log: Logger,
): { connection: WebSocketConnection; channels: CommandChannels } {
  const agreement = agree(request, [...protocols.keys()]);
  const { jsonStatus, ...encoding } = protocols.get(agreement.protocol) ?? plain;
  switchProtocols(socket, agreement.headers);
  const connection = new WebSocketConnection(socket, log);
  const sockets = new WebSocketChannels(connection, encoding);
  const channels = {
    stdin: call.stdin ? sockets.open(Channel.stdin) : undefined,
    stdout: call.stdout ? sockets.open(Channel.stdout) : undefined,
    stderr: call.stderr && !call.tty ? sockets.open(Channel.stderr) : undefined,
    error: sockets.open(Channel.error),
    resize: sockets.open(Channel.resize),
    jsonStatus,
  };
  // An empty message tells the client that it is connected.
  sockets.send(channels.stdout ?? channels.stderr ?? channels.error, Buffer.alloc(0), () => {});
  connection.start(head, sockets);
  return { connection, channels };
}
