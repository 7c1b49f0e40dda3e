/** Methods about containers. */
import { failedPrecondition } from "@ctrd/core/errors";
import { checkpointContainer } from "../containers/checkpoint.ts";
import { createContainer } from "../containers/create.ts";
import { execSync } from "../containers/exec-sync.ts";
import { runningTask } from "../containers/exec.ts";
import { removeContainer } from "../containers/remove.ts";
import { startContainer } from "../containers/start.ts";
import { containerStatus, listedContainer } from "../containers/status-message.ts";
import { stopContainer } from "../containers/stop.ts";
import { updateResources } from "../containers/update-resources.ts";
import type { Cri } from "../store/cri.ts";
import { batches, selectContainers } from "./filters.ts";
import { containerList } from "./listed-records.ts";
import type { RuntimeMethods } from "./methods.ts";
import { runtimeOfContainer } from "./runtime-type.ts";
import { containerInfo } from "./verbose.ts";

type Names =
  | "createContainer"
  | "startContainer"
  | "stopContainer"
  | "removeContainer"
  | "listContainers"
  | "streamContainers"
  | "containerStatus"
  | "updateContainerResources"
  | "reopenContainerLog"
  | "execSync"
  | "checkpointContainer";

type LifeNames = "createContainer" | "startContainer" | "stopContainer" | "removeContainer";

export function containerMethods(cri: Cri): RuntimeMethods<Names> {
  return { ...lifeMethods(cri), ...otherMethods(cri) };
}

function lifeMethods(cri: Cri): RuntimeMethods<LifeNames> {
  return {
    async createContainer(ctx, request) {
      const containerId = await cri.metrics.timed(
        "container_create",
        () => createContainer(cri, cri.serving(ctx), request),
        (id) => runtimeOfContainer(cri, id),
      );
      return { containerId };
    },
    async startContainer(ctx, { containerId }) {
      await cri.metrics.timed(
        "container_start",
        () => startContainer(cri, cri.serving(ctx), containerId),
        () => runtimeOfContainer(cri, containerId),
      );
      return {};
    },
    async stopContainer(ctx, { containerId, timeout }) {
      const serving = cri.serving(ctx);
      const container = cri.containers.find(containerId);
      if (container === undefined) return {};
      const runtime = runtimeOfContainer(cri, container.id);
      await cri.metrics.timed(
        "container_stop",
        () => stopContainer(cri, serving, container, Number(timeout)),
        () => runtime,
      );
      return {};
    },
    async removeContainer(ctx, { containerId }) {
      const serving = cri.serving(ctx);
      const container = cri.containers.find(containerId);
      if (container === undefined) return {};
      const runtime = runtimeOfContainer(cri, container.id);
      await cri.metrics.timed(
        "container_remove",
        () => removeContainer(cri, serving, container),
        () => runtime,
      );
      return {};
    },
  };
}

function otherMethods(cri: Cri): RuntimeMethods<Exclude<Names, LifeNames>> {
  return {
    async listContainers(ctx, { filter }) {
      cri.serving(ctx);
      return cri.metrics.timed("container_list", async () => containerList(selectContainers(cri, filter)));
    },
    async *streamContainers(ctx, { filter }) {
      cri.serving(ctx);
      for (const some of batches(selectContainers(cri, filter))) yield { containers: some.map(listedContainer) };
    },
    async containerStatus(ctx, { containerId, verbose }) {
      const serving = cri.serving(ctx);
      const container = cri.containers.get(containerId);
      const info = verbose ? await containerInfo(cri, serving, container) : new Map<string, string>();
      return { status: containerStatus(container, cri.images), info };
    },
    async updateContainerResources(ctx, request) {
      await updateResources(cri, cri.serving(ctx), request);
      return {};
    },
    async reopenContainerLog(ctx, { containerId }) {
      cri.serving(ctx);
      const container = cri.containers.get(containerId);
      runningTask(container);
      const { io } = container;
      if (io === undefined || container.metadata.logPath === "") {
        throw failedPrecondition(`container "${container.id}" writes no log`);
      }
      await io.reopenLog();
      return {};
    },
    execSync: (ctx, request) => execSync(cri, cri.serving(ctx), request),
    checkpointContainer: (ctx, request) => checkpointContainer(cri, cri.serving(ctx), request),
  };
}
