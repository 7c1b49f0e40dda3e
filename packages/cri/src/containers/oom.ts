/** Whether the kernel has killed a container for its memory, from the cgroup itself: events may come later than the end. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@ctrd/core/errors";

/** Directory in which the memory of a process is accounted; undefined when it is gone. */
export async function memoryCgroupOf(pid: number): Promise<string | undefined> {
  const text = await readIfThere(`/proc/${pid}/cgroup`);
  if (text === undefined) return undefined;
  const lines = text.split("\n").map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  const own = lines.find((line) => line?.[1]?.split(",").includes("memory") === true);
  if (own?.[2] !== undefined) return join("/sys/fs/cgroup/memory", own[2]);
  const unified = lines.find((line) => line?.[1] === "");
  return unified?.[2] === undefined ? undefined : join("/sys/fs/cgroup", unified[2]);
}

/** Whether a process of the cgroup was killed because memory ran out. */
export async function wasOomKilled(directory: string | undefined): Promise<boolean> {
  if (directory === undefined) return false;
  for (const file of ["memory.oom_control", "memory.events"]) {
    const text = await readIfThere(join(directory, file));
    if (text !== undefined) return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0) > 0;
  }
  return false;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ESRCH", "ENODEV"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}
