/** What an image has at the paths of its volumes is copied into them. */
import { Worker } from "node:worker_threads";
import { once } from "node:events";
import type { Client } from "@ctrd/client";
import { withMountedRootfs } from "@ctrd/client";
import { workerExecArgv } from "@ctrd/sys";
import type { ImageVolume } from "../spec/index.ts";
import type { VolumeCopies } from "./volume-worker.ts";

/** Fills the volumes of a container from its own snapshot. */
export async function fillVolumes(
  client: Client,
  signal: AbortSignal,
  snapshot: { snapshotter: string; key: string },
  volumes: readonly ImageVolume[],
): Promise<void> {
  if (volumes.length === 0) return;
  await withMountedRootfs(client, snapshot.snapshotter, snapshot.key, { signal }, (rootfs) =>
    copyIn({ rootfs, volumes }),
  );
}

async function copyIn(copies: VolumeCopies): Promise<void> {
  const module = new URL(
    import.meta.url.endsWith(".ts") ? "./volume-worker.ts" : "./volume-worker.js",
    import.meta.url,
  );
  const execArgv = workerExecArgv();
  const worker = new Worker(module, {
    workerData: copies,
    ...(execArgv === undefined ? {} : { execArgv }),
  });
  // An error of the thread rejects this.
  await once(worker, "exit");
}
