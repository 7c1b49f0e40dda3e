import { readdir, readFile, readlink } from "node:fs/promises";

/** State flag of a listening socket in /proc/net/unix. */
const listening = "00010000";

/** Who listens on the unix socket `path`, as `name (pid 123)`; undefined when it cannot be found out. */
export async function socketOwner(path: string): Promise<string | undefined> {
  const link = await socketLink(path);
  if (link === undefined) return undefined;
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    if (!(await holds(pid, link))) continue;
    // A process that ends meanwhile has no name any more.
    const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "a process");
    return `${name.trim()} (pid ${pid})`;
  }
  return undefined;
}

/** How /proc/<pid>/fd shows the listening socket at `path`. */
async function socketLink(path: string): Promise<string | undefined> {
  for (const line of (await readFile("/proc/net/unix", "utf8")).split("\n")) {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, , , flags, , , inode, ...bound] = line.split(" ").filter((field) => field !== "");
    if (flags === listening && bound.join(" ") === path) return `socket:[${inode}]`;
  }
  return undefined;
}

/** Whether a process has the socket open. Processes of others, and those that end, show nothing. */
async function holds(pid: string, link: string): Promise<boolean> {
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const fd of fds) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
    if (target === link) return true;
  }
  return false;
}
