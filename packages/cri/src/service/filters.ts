/** Which pods and containers a list has. */
import type { ContainerFilter, PodSandboxFilter } from "@ctrd/api/cri/runtime/v1/api";
import { PodSandboxState } from "@ctrd/api/cri/runtime/v1/api";
import type { Container } from "../containers/container.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { Cri } from "../store/cri.ts";

/** Pods that match a filter; an id may be the beginning of one. */
export function selectSandboxes(cri: Cri, filter: Partial<PodSandboxFilter> | undefined): Sandbox[] {
  if (filter === undefined) return cri.sandboxes.list();
  const { id = "", state, labelSelector = new Map() } = filter;
  return oneOrAll(cri.sandboxes, id).filter(
    (sandbox) =>
      (state === undefined || (state.state === PodSandboxState.SANDBOX_READY) === (sandbox.state === "ready")) &&
      hasLabels(sandbox.metadata.config.labels, labelSelector),
  );
}

/** Containers that match a filter; ids may be the beginnings of some. */
export function selectContainers(cri: Cri, filter: Partial<ContainerFilter> | undefined): Container[] {
  if (filter === undefined) return cri.containers.list();
  const { id = "", state, podSandboxId = "", labelSelector = new Map() } = filter;
  const pod = podSandboxId === "" ? undefined : (cri.sandboxes.find(podSandboxId)?.id ?? podSandboxId);
  const chosen = id === "" && pod !== undefined ? cri.containers.ofSandbox(pod) : oneOrAll(cri.containers, id);
  return chosen.filter(
    (container) =>
      (state === undefined || state.state === container.state) &&
      (pod === undefined || container.metadata.sandboxId === pod) &&
      hasLabels(container.metadata.config.labels, labelSelector),
  );
}

function oneOrAll<T>(records: { find(id: string): T | undefined; list(): T[] }, id: string): T[] {
  if (id === "") return records.list();
  const found = records.find(id);
  return found === undefined ? [] : [found];
}

function hasLabels(labels: ReadonlyMap<string, string>, wanted: ReadonlyMap<string, string>): boolean {
  for (const [key, value] of wanted) if (labels.get(key) !== value) return false;
  return true;
}

/** Most entries of one message of a stream. */
const batchSize = 100;

/** The entries of a list, some at a time. */
export function* batches<T>(items: readonly T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += batchSize) yield items.slice(at, at + batchSize);
}
