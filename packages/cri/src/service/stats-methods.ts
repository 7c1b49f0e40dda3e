/** Methods about what pods and containers use. */
import { ContainerState } from "@ctrd/api/cri/runtime/v1/api";
import { notFound } from "@ctrd/core/errors";
import type { Container } from "../containers/container.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { StatsContainer, StatsPod } from "../stats/index.ts";
import type { Cri } from "../store/cri.ts";
import { batches, selectContainers, selectSandboxes } from "./filters.ts";
import type { RuntimeMethods } from "./methods.ts";

type Names =
  | "containerStats"
  | "listContainerStats"
  | "streamContainerStats"
  | "podSandboxStats"
  | "listPodSandboxStats"
  | "streamPodSandboxStats"
  | "listMetricDescriptors"
  | "listPodSandboxMetrics"
  | "streamPodSandboxMetrics";

export function statsMethods(cri: Cri): RuntimeMethods<Names> {
  const { stats } = cri;
  const pod = (sandbox: Sandbox): StatsPod => podOf(cri, sandbox);
  return {
    async containerStats(ctx, { containerId }) {
      const [found] = await stats.containerStats(cri.serving(ctx), [containerOf(cri.containers.get(containerId))]);
      return { stats: found };
    },
    async listContainerStats(ctx, { filter }) {
      const containers = selectContainers(cri, filter).map(containerOf);
      return { stats: await stats.containerStats(cri.serving(ctx), containers) };
    },
    async *streamContainerStats(ctx, { filter }) {
      const serving = cri.serving(ctx);
      for (const some of batches(selectContainers(cri, filter).map(containerOf))) {
        yield { containerStats: await stats.containerStats(serving, some) };
      }
    },
    async podSandboxStats(ctx, { podSandboxId }) {
      const serving = cri.serving(ctx);
      const [found] = await stats.podStats(serving, [pod(cri.sandboxes.get(podSandboxId))]);
      if (found === undefined) throw notFound(`stats of pod sandbox "${podSandboxId}": it is not ready`);
      return { stats: found };
    },
    async listPodSandboxStats(ctx, { filter }) {
      return { stats: await stats.podStats(cri.serving(ctx), selectSandboxes(cri, filter).map(pod)) };
    },
    async *streamPodSandboxStats(ctx, { filter }) {
      const serving = cri.serving(ctx);
      for (const some of batches(selectSandboxes(cri, filter).map(pod))) {
        yield { podSandboxStats: await stats.podStats(serving, some) };
      }
    },
    async listMetricDescriptors(ctx) {
      cri.serving(ctx);
      return { descriptors: stats.metricDescriptors() };
    },
    async listPodSandboxMetrics(ctx) {
      return { podMetrics: await stats.podMetrics(cri.serving(ctx), cri.sandboxes.list().map(pod)) };
    },
    async *streamPodSandboxMetrics(ctx) {
      const serving = cri.serving(ctx);
      for (const some of batches(cri.sandboxes.list().map(pod))) {
        yield { podSandboxMetrics: await stats.podMetrics(serving, some) };
      }
    },
  };
}

function containerOf({ id, metadata, snapshotter, state, status }: Container): StatsContainer {
  const isRunning = state === ContainerState.CONTAINER_RUNNING;
  return { id, config: metadata.config, snapshotter, isRunning, startedAt: status.startedAt };
}

function podOf(cri: Cri, sandbox: Sandbox): StatsPod {
  const { id, metadata, state } = sandbox;
  const containers = cri.containersOf(sandbox).map(containerOf);
  return { id, config: metadata.config, isReady: state === "ready", netnsPath: metadata.netnsPath, containers };
}
