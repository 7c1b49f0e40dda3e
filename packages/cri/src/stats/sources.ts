/** What statistics are made from. */
import type { ContainerConfig, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import type { SnapshotUsage } from "@ctrd/core/snapshots";
import type { TaskService } from "@ctrd/core/tasks";
import type { Spec } from "@ctrd/oci";

/** A container to report about. */
export interface StatsContainer {
  id: string;
  config: ContainerConfig;
  /** Where its writable layer is, under its id. */
  snapshotter: string;
  isRunning: boolean;
  /** Nanoseconds since the epoch; 0 when it has not started. */
  startedAt: bigint;
}

/** A pod to report about. */
export interface StatsPod {
  id: string;
  config: PodSandboxConfig;
  isReady: boolean;
  /** Empty with the network of the node. */
  netnsPath: string;
  containers: readonly StatsContainer[];
}

/** Usage of snapshots by their name, at most as old as the configuration says. */
export interface LayerUsages {
  of(ctx: CallContext, snapshotter: string): Promise<ReadonlyMap<string, SnapshotUsage & { readonly at: number }>>;
}

/** What a collector asks. */
export interface StatsSources {
  tasks: Pick<TaskService, "metrics" | "listPids">;
  layers: LayerUsages;
  /** Directory that names the file system of a snapshotter to kubelet. */
  layerPath(snapshotter: string): string;
  /** Spec of a container, for the limits among its metrics. */
  spec(ctx: CallContext, id: string): Promise<Spec>;
  /** Where the root file system of a running container is mounted. */
  rootfs(id: string): string;
}
