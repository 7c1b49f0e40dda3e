/**
 * What restart labels ask for. Nothing here has an effect.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import { TaskStatus } from "@ctrd/core/tasks";

/** containerd's labels of containers. */
export const RestartLabel = {
  /** What the container should be: `running` or `stopped`; other values ask for nothing. */
  status: "containerd.io/restart.status",
  policy: "containerd.io/restart.policy",
  /** Starts by the monitor so far. */
  count: "containerd.io/restart.count",
  /** Where output goes, as the shim understands it. */
  logUri: "containerd.io/restart.loguri",
  /** Whether a user has stopped it. */
  explicitlyStopped: "containerd.io/restart.explicitly-stopped",
} as const;

/** A restart policy. */
export interface RestartPolicy {
  readonly name: "no" | "always" | "on-failure" | "unless-stopped";
  /** Of `on-failure`; 0 is no limit. */
  readonly maxRetries: number;
}

/** Names of all policies. */
export const policyNames: readonly RestartPolicy["name"][] = ["no", "always", "on-failure", "unless-stopped"];

/**
 * Reads a policy; an empty text is `always`.
 *
 * @throws ContainerdError `invalid-argument`
 */
export function parsePolicy(text: string): RestartPolicy {
  const colon = text.indexOf(":");
  const [word, retries] = colon < 0 ? [text] : [text.slice(0, colon), text.slice(colon + 1)];
  const name = word === "" ? "always" : policyNames.find((known) => known === word);
  if (name === undefined) {
    throw invalidArgument(`restart policy "${text}" must be ${policyNames.join(", ")} or on-failure:<number>`);
  }
  if (retries === undefined) return { name, maxRetries: 0 };
  if (name !== "on-failure") throw invalidArgument(`restart policy "${text}": only on-failure takes a number`);
  const maxRetries = integer(retries);
  if (maxRetries === undefined) throw invalidArgument(`restart policy "${text}": "${retries}" is no number`);
  return { name, maxRetries };
}

/** A task as the rules see it; undefined: there is none. */
export interface TaskView {
  readonly status: TaskStatus;
  readonly exitStatus: number;
}

/** What to do with a container, and why. */
export type Decision =
  | { readonly action: "none" }
  /** A label cannot be read. */
  | { readonly action: "none"; readonly problem: string }
  | { readonly action: "stop" }
  /** `count`: how many starts that makes. */
  | { readonly action: "start"; readonly policy: RestartPolicy["name"]; readonly count: number };

/** What the rules go by. */
export interface Situation {
  readonly task: TaskView | undefined;
  /** How the last task ended, when that is known although it is gone. */
  readonly lastExit?: number;
  /** The first look after the daemon's start. */
  readonly atDaemonStart?: boolean;
}

const none: Decision = { action: "none" };

/**
 * What labels ask for in a situation. These are containerd's rules with one more: what was stopped explicitly is left
 * alone also with `always` (until the daemon starts anew) and with `on-failure`.
 */
export function decide(labels: ReadonlyMap<string, string>, situation: Situation): Decision {
  const { task } = situation;
  switch (labels.get(RestartLabel.status)) {
    case "running":
      return task === undefined || task.status === TaskStatus.Stopped ? decideStart(labels, situation) : none;
    case "stopped":
      return task === undefined || task.status === TaskStatus.Stopped ? none : { action: "stop" };
    default:
      return none;
  }
}

function decideStart(labels: ReadonlyMap<string, string>, situation: Situation): Decision {
  let policy: RestartPolicy;
  try {
    policy = parsePolicy(labels.get(RestartLabel.policy) ?? "");
  } catch (error) {
    return { action: "none", problem: error instanceof Error ? error.message : String(error) };
  }
  const { name, maxRetries } = policy;
  const stopped = isExplicitlyStopped(labels);
  if (name === "no" || (stopped && !(name === "always" && situation.atDaemonStart === true))) return none;
  const text = labels.get(RestartLabel.count) ?? "";
  const count = integer(text);
  if (name === "on-failure") {
    if (count === undefined && text !== "") {
      return { action: "none", problem: `label ${RestartLabel.count}: "${text}" is no number` };
    }
    const exit = situation.task?.exitStatus ?? situation.lastExit ?? 0;
    if (exit === 0 || (maxRetries !== 0 && (count ?? 0) >= maxRetries)) return none;
  }
  return { action: "start", policy: name, count: (count ?? 0) + 1 };
}

/** Whether labels say that a user has stopped the container; what Go's ParseBool does not take is no. */
export function isExplicitlyStopped(labels: ReadonlyMap<string, string>): boolean {
  return ["1", "t", "T", "true", "TRUE", "True"].includes(labels.get(RestartLabel.explicitlyStopped) ?? "");
}

function integer(text: string): number | undefined {
  return /^[+-]?\d+$/.test(text) ? Number(text) : undefined;
}
