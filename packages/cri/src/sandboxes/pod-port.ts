/**
 * Connections to ports of a pod: made in its network namespace, used from here.
 *
 * @module
 */
import { once } from "node:events";
import { Socket } from "node:net";
import { untilAborted } from "@ctrd/core/context";
import { errnoOf, messageOf, unavailable } from "@ctrd/core/errors";
import { close } from "@ctrd/sys";
import { socketInNamespace } from "./netns-sockets.ts";

const addresses = [
  [4, "127.0.0.1"],
  [6, "::1"],
] as const;

/**
 * Connects to `localhost` in a pod, by IPv4 or else by IPv6.
 *
 * @param netns path of the network namespace; empty: the host's
 * @throws ContainerdError `unavailable` when nothing listens there
 */
export async function connectInPod(netns: string, port: number, signal: AbortSignal): Promise<Socket> {
  const failures: string[] = [];
  for (const [family, host] of addresses) {
    try {
      return await connect(netns, family, host, port, signal);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      failures.push(`${host}: ${messageOf(error)}`);
    }
  }
  throw unavailable(`port ${port} of the pod: ${failures.join("; ")}`);
}

async function connect(netns: string, family: 4 | 6, host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const options = { allowHalfOpen: true };
  const fd = netns === "" ? undefined : await socketInNamespace(netns, family);
  let socket: Socket;
  try {
    socket = new Socket(fd === undefined ? options : { ...options, fd });
  } catch (error) {
    if (fd !== undefined) close(fd);
    throw error;
  }
  const connected = once(socket, "connect");
  socket.connect({ host, port, family });
  try {
    await untilAborted(connected, signal);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
