/** A thread of its own: network namespaces belong to threads, and the others must stay in theirs. */
import { closeSync, constants, openSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { errnoOf, messageOf } from "@ctrd/core/errors";
import { CloneFlag, mount, MountFlag, setInterfaceUp, setns, unshare } from "@ctrd/sys";
import type { NamespaceReply, NamespaceRequest, NamespaceTask } from "./namespace-task.ts";

const ownPath = "/proc/thread-self/ns/net";
const home = openSync(ownPath, constants.O_RDONLY);
let away = false;

function run(task: NamespaceTask): void {
  if (task.kind === "create") {
    unshare(CloneFlag.NewNet);
  } else {
    const fd = openSync(task.path, constants.O_RDONLY);
    try {
      setns(fd, CloneFlag.NewNet);
    } finally {
      closeSync(fd);
    }
  }
  away = true;
  setInterfaceUp("lo");
  if (task.kind === "create") mount(ownPath, task.path, "", MountFlag.Bind);
}

function attempt({ id, task }: NamespaceRequest): NamespaceReply {
  try {
    run(task);
    return { id };
  } catch (error) {
    return { id, error: { message: messageOf(error), code: errnoOf(error) } };
  }
}

parentPort?.on("message", (request: NamespaceRequest) => {
  const reply = attempt(request);
  // Outside of the attempt: a thread that cannot return must not serve anybody, and ends of this error.
  if (away) setns(home, CloneFlag.NewNet);
  away = false;
  parentPort?.postMessage(reply);
});
