/**
 * CPU profiles of the event loop.
 *
 * @module
 */
import type { Profiler } from "node:inspector";
import { Session } from "node:inspector/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { failedPrecondition } from "@ctrd/core/errors";

/** A profile in the format of `.cpuprofile` files. */
export type CpuProfile = Profiler.Profile;

/** How often it is looked what is being done, in microseconds. */
const intervalMicros = 500;

let isUnderWay = false;

/**
 * Watches the event loop for some time.
 *
 * @throws ContainerdError `failed-precondition` while another profile is taken; the reason of `signal`
 */
export async function cpuProfile(seconds: number, signal: AbortSignal): Promise<CpuProfile> {
  if (isUnderWay) throw failedPrecondition("take a profile: another one is being taken; wait until it has ended");
  isUnderWay = true;
  const session = new Session();
  try {
    session.connect();
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: intervalMicros });
    await session.post("Profiler.start");
    await sleep(seconds * 1000, undefined, { signal });
    return (await session.post("Profiler.stop")).profile;
  } finally {
    session.disconnect();
    isUnderWay = false;
  }
}

/** A stack that was seen, and for which part of the time. */
export interface SeenStack {
  /** Part of the time, 0 to 1. */
  readonly share: number;
  /** `function (file:line)`, the innermost first. */
  readonly frames: readonly string[];
}

/** The stacks of a profile, the most frequent first. Without idle time, which is told by `(idle)`. */
export function stacksOf({ nodes, samples = [] }: CpuProfile, most: number): SeenStack[] {
  const parents = new Map<number, number>();
  const byId = new Map(nodes.map((node) => [node.id, node]));
  for (const { id, children = [] } of nodes) for (const child of children) parents.set(child, id);
  const counts = new Map<number, number>();
  for (const id of samples) counts.set(id, (counts.get(id) ?? 0) + 1);
  const framesOf = (leaf: number): string[] => {
    const frames: string[] = [];
    for (let id: number | undefined = leaf; id !== undefined; id = parents.get(id)) {
      const node = byId.get(id);
      if (node !== undefined && node.callFrame.functionName !== "(root)") frames.push(frameText(node.callFrame));
    }
    return frames;
  };
  return [...counts]
    .map(([id, count]) => ({ share: count / samples.length, frames: framesOf(id) }))
    .toSorted((a, b) => b.share - a.share)
    .slice(0, most);
}

function frameText({ functionName, url, lineNumber }: Profiler.ProfileNode["callFrame"]): string {
  const name = functionName === "" ? "(anonymous)" : functionName;
  return url === "" ? name : `${name} (${url.replace(/^file:\/\//, "")}:${lineNumber + 1})`;
}
