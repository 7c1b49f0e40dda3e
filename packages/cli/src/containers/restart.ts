/**
 * Restart policies: labels that the daemon's restart monitor goes by, whoever has set them.
 *
 * @module
 */
import type { Container } from "@ctrd/client";
import { logProgram, signalNumber } from "@ctrd/client";
import { messageOf } from "@ctrd/core/errors";
import { silentLogger } from "@ctrd/core/log";
import { TaskStatus } from "@ctrd/core/tasks";
import type { RestartPolicy } from "@ctrd/restart-monitor/policy";
import { decide, parsePolicy, RestartLabel } from "@ctrd/restart-monitor/policy";
import { CommandFailure } from "../failure.ts";
import { autoRemoveLabel, stopSignalLabel } from "./labels.ts";
import { programPath } from "./self.ts";

type Labels = ReadonlyMap<string, string>;

/** Reads the value of `--restart`. @throws CommandFailure that names the flag */
export function parseRestart(text: string): RestartPolicy {
  try {
    if (text === "") throw new CommandFailure("restart policy must not be empty");
    return parsePolicy(text);
  } catch (error) {
    throw new CommandFailure(`--restart: ${messageOf(error).replace(/: invalid argument$/, "")}`, {
      exitCode: 125,
      remedy: "policies are no, always, unless-stopped, on-failure and on-failure:<most restarts>",
      cause: error,
    });
  }
}

/** The labels of a new container for `--restart`; none without a policy that restarts. */
export function restartLabels(flags: { restart?: string; rm?: boolean }): Map<string, string> {
  const { restart = "no", rm = false } = flags;
  if (parseRestart(restart).name === "no") return new Map();
  if (rm) throw new CommandFailure(`--rm does not go with --restart ${restart}`, { exitCode: 125 });
  // Before somebody has started it, the monitor leaves it alone.
  return new Map([
    [RestartLabel.policy, restart],
    [RestartLabel.status, "created"],
  ]);
}

/** Whether a container has a restart policy. */
export function hasRestartPolicy(labels: Labels): boolean {
  return labels.has(RestartLabel.policy) || labels.has(RestartLabel.status);
}

/** What the daemon is told of where the output of a container with this directory goes. */
export async function logUriOf(directory: string): Promise<string> {
  const program = logProgram(process.execPath, { [programPath("log-driver")]: directory });
  return (await program({ id: "", fifoDirectory: directory, log: silentLogger })).stdio.stdout;
}

/** The labels of a container with a policy that was started by a user: from now on the daemon keeps it running. */
export async function markStarted(container: Container): Promise<void> {
  if (!hasRestartPolicy(container.labels)) return;
  const labels = { [RestartLabel.status]: "running", [RestartLabel.explicitlyStopped]: "", [RestartLabel.count]: "" };
  await container.setLabels(labels);
}

/** Notes that a user stops a container, so that it is not started again. */
export async function markStopped(container: Container): Promise<void> {
  if (hasRestartPolicy(container.labels)) await container.setLabels({ [RestartLabel.explicitlyStopped]: "true" });
}

/** As {@link markStopped}, for a signal, if that is one to end the process. */
export async function markKilled(container: Container, signal: string): Promise<void> {
  const { labels } = container;
  const ending = ["SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT", labels.get(stopSignalLabel) ?? "SIGTERM"];
  if (ending.map(signalNumber).includes(signalNumber(signal))) await markStopped(container);
}

/** Whether a container that has ended will be started again. */
export function isRestarting(labels: Labels, exitCode: number | undefined): boolean {
  const task = exitCode === undefined ? undefined : { status: TaskStatus.Stopped, exitStatus: exitCode };
  return labels.get(RestartLabel.status) === "running" && decide(labels, { task }).action === "start";
}

/** What `inspect` shows. */
export function restartFacts(labels: Labels): Record<string, unknown> {
  const text = labels.get(RestartLabel.policy) ?? (labels.get(RestartLabel.status) === "running" ? "always" : "no");
  const [Name, MaximumRetryCount = "0"] = text.split(":");
  return {
    RestartPolicy: { Name, MaximumRetryCount: Number(MaximumRetryCount) },
    RestartCount: Number(labels.get(RestartLabel.count) ?? 0),
  };
}

/** Labels that give a container another policy. @param log where the output of a container with one goes */
export function changedPolicy(labels: Labels, restart: string, runs: boolean, log: string): Record<string, string> {
  const policy = parseRestart(restart);
  if (policy.name !== "no" && labels.get(autoRemoveLabel) === "true") {
    throw new CommandFailure(`--restart ${restart}: the container is removed when it has ended (--rm)`);
  }
  return {
    [RestartLabel.policy]: restart,
    ...(runs ? { [RestartLabel.status]: "running" } : {}),
    ...(runs || labels.has(RestartLabel.status) ? {} : { [RestartLabel.status]: "created" }),
    ...(labels.has(RestartLabel.logUri) || log === "" ? {} : { [RestartLabel.logUri]: log }),
  };
}
