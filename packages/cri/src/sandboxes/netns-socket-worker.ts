/** A thread of its own: network namespaces belong to threads, and the others must stay in theirs. */
import { closeSync, constants, openSync } from "node:fs";
import { serveTasks } from "@ctrd/storage/tasks";
import { CloneFlag, setns, tcpSocket } from "@ctrd/sys";
import type { SocketRequest } from "./netns-sockets.ts";

const home = openSync("/proc/thread-self/ns/net", constants.O_RDONLY);

function socket({ netns, family }: SocketRequest): number {
  const fd = openSync(netns, constants.O_RDONLY);
  try {
    setns(fd, CloneFlag.NewNet);
  } finally {
    closeSync(fd);
  }
  try {
    return tcpSocket(family);
  } finally {
    // Not to keep the namespace. Each task enters the one that it is for, so that nothing depends on it.
    setns(home, CloneFlag.NewNet);
  }
}

serveTasks({ socket });
