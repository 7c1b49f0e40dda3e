/** A thread of its own: network namespaces belong to threads, and the others must stay in theirs. */
import { closeSync, constants, openSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { messageOf } from "@ctrd/core/errors";
import { CloneFlag, setns, tcpSocket } from "@ctrd/sys";
import type { SocketReply, SocketRequest } from "./netns-sockets.ts";

const home = openSync("/proc/thread-self/ns/net", constants.O_RDONLY);

function socketOf({ netns, family }: SocketRequest): number {
  const fd = openSync(netns, constants.O_RDONLY);
  try {
    setns(fd, CloneFlag.NewNet);
  } finally {
    closeSync(fd);
  }
  try {
    return tcpSocket(family);
  } finally {
    // A thread that cannot return must not serve anybody: the error ends it.
    setns(home, CloneFlag.NewNet);
  }
}

parentPort?.on("message", (request: SocketRequest) => {
  let reply: SocketReply;
  try {
    reply = { id: request.id, fd: socketOf(request) };
  } catch (error) {
    reply = { id: request.id, error: `socket in network namespace ${request.netns}: ${messageOf(error)}` };
  }
  parentPort?.postMessage(reply);
});
