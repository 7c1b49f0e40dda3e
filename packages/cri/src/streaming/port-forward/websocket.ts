/**
 * Port-forward over WebSocket: two channels for each port, or SPDY inside of the WebSocket's messages.
 *
 * @module
 */
import { Refusal, switchProtocols } from "../http-upgrade.ts";
import type { UpgradeRequest } from "../http-upgrade.ts";
import { WebSocketChannels } from "../websocket/channels.ts";
import { WebSocketConnection } from "../websocket/connection.ts";
import { agree } from "../websocket/handshake.ts";
import { tunnelStream } from "../websocket/tunnel.ts";
import type { PortForwardOptions } from "./spdy.ts";
import { portForwardProtocol, servePortForwardSpdy } from "./spdy.ts";

/** Not containerd's: the only one that kubectl's and crictl's own WebSocket clients speak. */
const tunnelProtocol = `SPDY/3.1+${portForwardProtocol}`;

/** Channel numbers are a byte. */
const maxPorts = 64;

const base64Of: ReadonlyMap<string, boolean> = new Map([
  ["", false],
  ["v4.channel.k8s.io", false],
  ["v4.base64.channel.k8s.io", true],
]);

/** Answers the request and forwards until the client goes or all ports have ended. */
export function servePortForwardWebSocket(
  { request, socket, head }: UpgradeRequest,
  ports: readonly number[],
  options: PortForwardOptions,
): WebSocketConnection {
  const { protocol, headers } = agree(request, [...base64Of.keys(), tunnelProtocol]);
  const tunnelled = protocol === tunnelProtocol;
  if (!tunnelled && (ports.length === 0 || ports.length > maxPorts)) {
    throw new Refusal(400, `the PortForward request must name between 1 and ${maxPorts} ports`);
  }
  switchProtocols(socket, headers);
  const connection = new WebSocketConnection(socket, options.log);
  if (tunnelled) servePortForwardSpdy(tunnelStream(connection, head), Buffer.alloc(0), options);
  else servePorts(connection, head, base64Of.get(protocol) ?? false, ports, options);
  return connection;
}

function servePorts(
  connection: WebSocketConnection,
  head: Buffer,
  base64: boolean,
  ports: readonly number[],
  { sandboxId, forward }: PortForwardOptions,
): void {
  const channels = new WebSocketChannels(connection, { base64, closeChannel: false });
  const connections = ports.map((port, index) => {
    const [data, error] = [channels.open(2 * index), channels.open(2 * index + 1)];
    const number = Buffer.alloc(2);
    number.writeUInt16LE(port);
    data.write(number);
    error.write(number);
    return { sandboxId, port, data, error };
  });
  connection.start(head, channels);
  const all = Promise.all(connections.map((one) => forward(one)));
  void all.then(() => connection.close());
}
