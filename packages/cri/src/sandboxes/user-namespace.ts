/**
 * User namespaces of pods. The kernel lets only a process of one thread make one, so a program does it, and holds it
 * until its network namespace is kept by a file. The network namespace holds its owner from then on.
 *
 * @module
 */
import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { NetworkNamespace } from "@ctrd/cni";
import { failedPrecondition, messageOf } from "@ctrd/core/errors";
import { mount, MountFlag, openOwnerNamespace, unmountAll, UnmountFlag } from "@ctrd/sys";
import type { UserMappings } from "../spec/namespaces.ts";
import type { CriDirectories } from "./layout.ts";
import { sandboxState } from "./layout.ts";

type Holder = ChildProcessByStdio<Writable, Readable, Readable>;

/** Makes a network namespace at `path` that a new user namespace with these mappings owns. */
export async function createOwnedNetwork(path: string, mappings: UserMappings): Promise<void> {
  const holder = spawn("unshare", ["--user", "--net", "cat"], { stdio: ["pipe", "pipe", "pipe"] });
  const ended = once(holder, "close");
  try {
    await untilUnshared(holder);
    await writeMappings(`/proc/${holder.pid}`, mappings);
    const network = await NetworkNamespace.pin(`/proc/${holder.pid}/ns/net`, dirname(path), basename(path));
    await network.setLoopbackUp();
  } catch (cause) {
    throw failedPrecondition(`network namespace ${path} in a user namespace: ${messageOf(cause)}`, { cause });
  } finally {
    holder.stdin.end();
    await ended.catch(() => {});
  }
}

/** `cat` answers once it is in the new namespaces. */
async function untilUnshared(holder: Holder): Promise<void> {
  const complaint: Buffer[] = [];
  holder.stderr.on("data", (chunk: Buffer) => complaint.push(chunk));
  holder.stdin.on("error", () => {});
  holder.stdin.write("x");
  const answered = once(holder.stdout, "data").then(() => true);
  const ended = once(holder, "close").then(() => false);
  if (await Promise.race([answered, ended])) return;
  throw failedPrecondition(`unshare: ${Buffer.concat(complaint).toString().trim()}`);
}

async function writeMappings(process: string, { uids, gids }: UserMappings): Promise<void> {
  const lines = (mappings: UserMappings["uids"]): string =>
    mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
  // The kernel takes a map in one write only.
  await writeFile(`${process}/uid_map`, lines(uids));
  await writeFile(`${process}/gid_map`, lines(gids));
}

/** Where the user namespace of a pod is kept, for its sandbox to join. */
function keptPath(directories: CriDirectories, id: string): string {
  return join(sandboxState(directories, id), "userns");
}

/** Keeps the user namespace that owns the network of a pod by a file. @returns its path */
export async function keepUserNamespace(directories: CriDirectories, id: string, netnsPath: string): Promise<string> {
  const path = keptPath(directories, id);
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  await writeFile(path, "");
  const network = openSync(netnsPath, "r");
  try {
    const owner = openOwnerNamespace(network);
    try {
      mount(`/proc/self/fd/${owner}`, path, "", MountFlag.Bind);
    } finally {
      closeSync(owner);
    }
  } finally {
    closeSync(network);
  }
  return path;
}

/** Lets go of it. One that is not there is fine. */
export function dropUserNamespace(directories: CriDirectories, id: string): void {
  unmountAll(keptPath(directories, id), UnmountFlag.Detach);
}
