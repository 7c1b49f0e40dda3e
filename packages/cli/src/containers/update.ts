/**
 * `update`: changes limits and the restart policy of containers that are there.
 *
 * @module
 */
import type { Container, Task } from "@ctrd/client";
import { isKind, messageOf } from "@ctrd/core/errors";
import type { Resources, Spec } from "@ctrd/oci";
import { applyOptions } from "@ctrd/oci";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import { prepareDriver } from "./detached-io.ts";
import { directoryOf } from "./directory.ts";
import { forEachContainer } from "./find.ts";
import { parseBytes } from "./quantities.ts";
import type { ResourceFlags } from "./resource-options.ts";
import { resourceOptions } from "./resource-options.ts";
import { changedPolicy, logUriOf, parseRestart } from "./restart.ts";
import { taskOf } from "./state.ts";

/** Flags of `ctrd update`. */
export interface UpdateFlags extends ResourceFlags {
  restart?: string;
}

/** Runs `ctrd update`. */
export async function update(session: Session, names: readonly string[], flags: UpdateFlags): Promise<void> {
  const { restart, ...limits } = flags;
  if (restart !== undefined) parseRestart(restart);
  const options = resourceOptions(limits);
  if (restart === undefined && options.length === 0) {
    throw new CommandFailure("nothing to change", { remedy: "name a limit or a policy: see ctrd update --help" });
  }
  await forEachContainer(session, names, async (container) => {
    const task = await runningTaskOf(session, container);
    if (options.length > 0) await updateLimits(session, container, task, limits);
    if (restart !== undefined) await updatePolicy(session, container, task !== undefined, restart);
  });
}

async function runningTaskOf(session: Session, container: Container): Promise<Task | undefined> {
  const task = await taskOf(session, container);
  const state = (await task?.status())?.state;
  return state === "running" || state === "paused" ? task : undefined;
}

/** First the running task: what the kernel refuses is not stored. */
async function updateLimits(
  session: Session,
  container: Container,
  task: Task | undefined,
  flags: ResourceFlags,
): Promise<void> {
  const spec = await container.spec();
  const { id } = container;
  const context = { id, namespace: session.client.namespace, signal: session.signal };
  await applyOptions(context, spec, resourceOptions(flags));
  checkMemory(spec, flags);
  if (task !== undefined) {
    const { cpu, memory, pids } = spec.linux?.resources ?? {};
    const resources: Resources = {
      ...(cpu === undefined ? {} : { cpu }),
      ...(memory === undefined ? {} : { memory }),
      ...(pids === undefined ? {} : { pids }),
    };
    await applied(() => task.update({ resources }));
  }
  await container.setSpec(spec);
}

/** What is limited together must not be less than a part of it. */
function checkMemory({ linux }: Spec, { memory, memorySwap }: ResourceFlags): void {
  if (memory === undefined || memorySwap !== undefined) return;
  const swap = linux?.resources?.memory?.swap;
  if (swap === undefined || BigInt(swap) < 0n || BigInt(parseBytes("--memory", memory)) <= BigInt(swap)) return;
  throw new CommandFailure(`--memory ${memory} is more than the limit of memory and swap together (${swap})`, {
    remedy: "set --memory-swap as well",
  });
}

async function applied(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    // Ended in between: the next task has the limits.
    if (isKind(error, "not-found")) return;
    throw new CommandFailure(messageOf(error).replace(/: unknown$/, ""), { cause: error });
  }
}

async function updatePolicy(session: Session, container: Container, runs: boolean, restart: string): Promise<void> {
  const directory = directoryOf(container);
  await container.setLabels(
    changedPolicy(container.labels, restart, runs, directory === undefined ? "" : await logUriOf(directory)),
  );
  if (directory !== undefined) prepareDriver(session, container, directory);
}
