/**
 * What leases hold: how writes of other stores join the lease of their call, and the types of resources.
 */
import type { CallContext } from "@ctrd/core/context";
import { parseDigest } from "@ctrd/core/digests";
import { invalidArgument, messageOf, notFound, notImplemented } from "@ctrd/core/errors";
import type { LeaseResource } from "@ctrd/core/leases";
import type { MetadataDb } from "../db/database.ts";
import { checkKeyPart, checkSnapshotter } from "../db/keys.ts";
import { nodeOf } from "../gc/nodes.ts";

/** Type of leased snapshots of one snapshotter. */
export const snapshotResource = (snapshotter: string): string => `snapshots/${snapshotter}`;

/**
 * Adds a resource to the lease of the call, within a write transaction.
 *
 * @returns whether the call has a lease
 * @throws ContainerdError `not-found` when the lease is missing
 */
export function joinLease(db: MetadataDb, ctx: CallContext, namespace: string, type: string, id: string): boolean {
  if (ctx.lease === undefined || ctx.lease === "") return false;
  checkLease(db, ctx, namespace);
  addLeaseResource(db, namespace, ctx.lease, { type, id });
  return true;
}

/** @throws ContainerdError `not-found` when the call names a lease that is missing */
export function checkLease(db: MetadataDb, ctx: CallContext, namespace: string): void {
  if (ctx.lease === undefined || ctx.lease === "") return;
  if (!db.leases.has(namespace, ctx.lease)) throw notFound(`lease "${ctx.lease}" of namespace "${namespace}"`);
}

/** Takes a resource out of the lease of the call, within a write transaction. */
export function leaveLease(db: MetadataDb, ctx: CallContext, namespace: string, type: string, id: string): void {
  if (ctx.lease === undefined || ctx.lease === "") return;
  db.leaseResources.remove(namespace, ctx.lease, type, id);
}

/** Adds a checked resource, within a write transaction. */
export function addLeaseResource(db: MetadataDb, namespace: string, lease: string, resource: LeaseResource): void {
  db.leaseResources.put(true, namespace, lease, resource.type, resource.id);
  db.touch(leasedNode(namespace, resource));
}

/** The node that a lease holds. */
export function leasedNode(namespace: string, { type, id }: LeaseResource): string {
  switch (type) {
    case "content":
      return nodeOf("content", [namespace, id]);
    case "ingests":
      return nodeOf("ingest", [namespace, id]);
    case "images":
      return nodeOf("image", [namespace, id]);
    default:
      return nodeOf("snapshot", [namespace, type.slice("snapshots/".length), id]);
  }
}

/**
 * @throws ContainerdError `invalid-argument` for a malformed type or digest, `not-implemented` for a type that leases
 * cannot hold
 */
export function checkLeaseResource({ type, id }: LeaseResource): void {
  const [family, snapshotter, ...rest] = type.split("/");
  switch (family) {
    case "content":
    case "ingests":
    case "images":
      if (snapshotter !== undefined) throw invalidArgument(`lease resource type "${type}" must be "${family}"`);
      break;
    case "snapshots":
      if (snapshotter === undefined || snapshotter === "" || rest.length > 0) {
        throw invalidArgument(`lease resource type "${type}" must be snapshots/<snapshotter>`);
      }
      checkSnapshotter(snapshotter);
      break;
    default:
      throw notImplemented(`lease resource type "${type}"`);
  }
  checkKeyPart("lease resource id", id);
  if (family === "content") checkDigest(id);
}

function checkDigest(id: string): void {
  try {
    parseDigest(id);
  } catch (error) {
    throw invalidArgument(`lease resource: ${messageOf(error)}`, { cause: error });
  }
}
