import { errnoOf } from "@ctrd/core/errors";
import { peerCredentials } from "@ctrd/sys";
import { readFileSync } from "node:fs";

/** Names the process at the other end of a connected unix socket: `ctr (pid 4711)`. */
export function nameCaller(socket: number): string {
  const { pid } = peerCredentials(socket);
  // Of another pid namespace, or over TCP.
  if (pid === 0) return "a process of another container or machine";
  return `${commandOf(pid) ?? "a process that has ended"} (pid ${pid})`;
}

function commandOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ESRCH") return undefined;
    throw error;
  }
}
