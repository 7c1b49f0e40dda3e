/**
 * Removes garbage from the metadata, in write transactions of bounded length.
 */
import { ImageDelete } from "@ctrd/api/events/image";
import { SnapshotRemove } from "@ctrd/api/events/snapshot";
import type { CallContext } from "@ctrd/core/context";
import { failpoints } from "@ctrd/core/failpoints";
import { sliceMs } from "@ctrd/storage";
import { removeSnapshot } from "../snapshots/snapshot-records.ts";
import type { Shared } from "../shared.ts";
import { publish } from "../shared.ts";
import type { Graph } from "./graph.ts";
import type { NodeKind } from "./nodes.ts";
import { parseNode } from "./nodes.ts";
import type { Slices } from "./slices.ts";

/** A removed record, for what follows once the removal is on disk. */
interface Removed {
  readonly kind: NodeKind;
  readonly key: readonly string[];
  /** Backend key of a snapshot, backend ref of an ingest. */
  readonly backend: string;
}

/** Removes what the graph does not keep. Returns how many records of each kind went. */
export async function sweep(
  shared: Shared,
  ctx: CallContext,
  graph: Graph,
  isOpen: (namespace: string, ref: string) => boolean,
  slices: Slices,
): Promise<Map<string, number>> {
  const condemned = await graph.garbage(slices);
  const counts = new Map<string, number>();
  for (let at = 0; at < condemned.length;) {
    FAILPOINT: if (failpoints.on) await failpoints.at("gc.sweep");
    const removed: Removed[] = [];
    const work = shared.db.writeQuietly(() => {
      const end = performance.now() + sliceMs;
      let next = at;
      if (takeTouched(shared, graph, end)) {
        while (next < condemned.length && performance.now() < end) {
          const one = removeNode(shared, graph, condemned[next] ?? "", isOpen);
          if (one === "in part") continue;
          if (one !== undefined) removed.push(one);
          next++;
        }
      }
      return { next, busyMs: performance.now() - end + sliceMs };
    });
    const { next, busyMs } = await slices.wait(work);
    slices.add(busyMs);
    at = next;
    await graph.mark(slices);
    for (const one of removed) counts.set(one.kind, (counts.get(one.kind) ?? 0) + 1);
    await follow(shared, ctx, removed);
  }
  return counts;
}

/**
 * Takes into the graph what calls have written since the scan, up to and including this transaction. False when not
 * all of it could be taken, or followed to what it keeps, by the time `end`: then nothing may be removed yet.
 */
function takeTouched({ db }: Shared, graph: Graph, end: number): boolean {
  const touched = db.touched ?? new Set<string>();
  for (const node of touched) {
    if (performance.now() >= end) return false;
    graph.touch(node);
    touched.delete(node);
  }
  while (!graph.follow()) if (performance.now() >= end) return false;
  return true;
}

/** Resources that are taken out of an expired lease at once. */
const leaseBatch = 500;

/** Removes one record, unless it is kept or gone. `in part`: there is more to remove, in this transaction or a later one. */
function removeNode(
  { db }: Shared,
  graph: Graph,
  node: string,
  isOpen: (namespace: string, ref: string) => boolean,
): Removed | "in part" | undefined {
  if (graph.isKept(node)) return undefined;
  const { kind, key } = parseNode(node);
  const [namespace = "", second = "", third = ""] = key;
  switch (kind) {
    case "content":
      if (!db.blobs.has(...key)) return undefined;
      db.blobs.remove(...key);
      return { kind, key, backend: "" };
    case "image":
      if (!db.images.has(...key)) return undefined;
      db.images.remove(...key);
      return { kind, key, backend: "" };
    case "lease":
      if (!db.leases.has(...key)) return undefined;
      if (!db.leaseResources.removeSome(leaseBatch, ...key)) return "in part";
      db.leases.remove(...key);
      return { kind, key, backend: "" };
    case "ingest": {
      const record = db.ingests.get(...key);
      if (record === undefined || isOpen(namespace, second)) return undefined;
      db.ingests.remove(...key);
      if (record.status.expected !== "") db.sharedIngests.remove(record.status.expected, ...key);
      return { kind, key, backend: record.backendRef };
    }
    case "snapshot": {
      const record = db.snapshots.get(...key);
      // A child that is there still is kept, or in a cycle of labels; then the parent waits for the next collection.
      if (record === undefined || !db.snapshotChildren.isEmpty(...key)) return undefined;
      removeSnapshot(db, [namespace, second, third], record);
      return { kind, key, backend: record.backendKey };
    }
    case "container":
    case "sandbox":
      return undefined;
  }
}

/** Tells the clean-up and the subscribers, now that the removal is on disk. */
async function follow(shared: Shared, ctx: CallContext, removed: readonly Removed[]): Promise<void> {
  const { garbage } = shared;
  for (const { kind, key, backend } of removed) {
    const [namespace = "", second = "", third = ""] = key;
    if (kind === "content") garbage.addBlob(second);
    if (kind === "ingest") garbage.addIngest(backend);
    if (kind === "snapshot") {
      garbage.addSnapshot(second, backend);
      await publish(shared, ctx, namespace, {
        topic: "/snapshot/remove",
        name: "containerd.events.SnapshotRemove",
        codec: SnapshotRemove,
        message: { key: third, snapshotter: second },
      });
    }
    if (kind === "image") {
      await publish(shared, ctx, namespace, {
        topic: "/images/delete",
        name: "containerd.services.images.v1.ImageDelete",
        codec: ImageDelete,
        message: { name: second },
      });
    }
  }
}
