/**
 * Limits of time for shims that do not answer.
 *
 * @module
 */
import { readFile, readdir } from "node:fs/promises";
import { deadlineExceeded, errnoOf, isKind } from "@ctrd/core/errors";
import type { ShimManager } from "./manager.ts";

/** `[timeouts]` of ctrd's own: containerd waits for `start` and the connection 100 s, and for the other answers forever. */
export const shimLimits = {
  start: { key: "io.ctrd.timeout.shim.start", fallbackMs: 100_000 },
  create: { key: "io.ctrd.timeout.shim.create", fallbackMs: 300_000 },
} as const;

/** Which of the limits. */
export type ShimLimit = keyof typeof shimLimits;

/** A stage in which a shim is waited for. */
export interface ShimStage {
  readonly limit: ShimLimit;
  /** The stage as messages call it. */
  readonly name: string;
  /** Path of the shim's binary. */
  readonly shim: string;
}

/** An unanswering shim's error, which tells it from a deadline that the shim itself reports. */
const unanswered = new WeakSet<Error>();

/**
 * Waits for a shim as long as the limit of the stage is. A limit of 0 is none.
 *
 * @param work gets the limit in milliseconds, and fails with `deadline-exceeded` after it
 * @throws ContainerdError `deadline-exceeded` that names shim, stage and remedy
 */
export async function withinLimit<T>(
  manager: ShimManager,
  { limit, name, shim }: ShimStage,
  work: (timeoutMs: number | undefined) => Promise<T>,
): Promise<T> {
  const ms = manager.timeouts[limit];
  const since = performance.now();
  try {
    return await work(ms === 0 ? undefined : ms);
  } catch (error) {
    // Its own deadlines come earlier.
    if (ms === 0 || !isKind(error, "deadline-exceeded") || performance.now() - since < ms - 1) throw error;
    const late = deadlineExceeded(
      `shim ${shim} did not answer in the stage "${name}" for ${ms / 1000} s; see what it does (its log is in the ` +
        `daemon's), or allow more time by "${shimLimits[limit].key}" in [timeouts]`,
      { cause: error },
    );
    unanswered.add(late);
    throw late;
  }
}

/** Whether a shim was given up because it did not answer. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof Error && (unanswered.has(error) || isUnanswered(error.cause));
}

/**
 * Kills what is left of a session: a shim is in that of its `start`, as long as it does not make one of its own. Containers
 * do.
 *
 * @returns how many processes there were
 */
export async function killSession(session: number): Promise<number> {
  let killed = 0;
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || (await sessionOf(name)) !== session) continue;
    try {
      process.kill(Number(name), "SIGKILL");
      killed++;
    } catch (error) {
      if (errnoOf(error) !== "ESRCH") throw error;
    }
  }
  return killed;
}

async function sessionOf(pid: string): Promise<number | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // After the name, which may have anything in it: state, parent, group, session.
    return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[3]);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}
