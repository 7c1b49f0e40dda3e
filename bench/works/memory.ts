/** Memory of a daemon that has started and done nothing: resident, and its share of shared pages (PSS). */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Side } from "../side.ts";
import type { Work } from "../work.ts";

const settleMs = 3000;

function memory(name: string, field: "Rss" | "Pss"): Work {
  return {
    name,
    unit: "MB",
    target: "shown",
    once: true,
    run: (side) => read(side, field),
  };
}

async function read(side: Side, field: string): Promise<number> {
  await sleep(settleMs);
  const text = await readFile(`/proc/${side.daemon.pid}/smaps_rollup`, "utf8");
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text);
  if (match === null) throw new Error(`no ${field} in smaps_rollup of ${side.daemon.pid}`);
  return (Number(match[1]) * 1024) / 1e6;
}

export const idleMemory: readonly Work[] = [memory("idle-rss", "Rss"), memory("idle-pss", "Pss")];
