/**
 * What one record contributes to the reference graph.
 */
import type { MetadataDb } from "../db/database.ts";
import { leasedNode } from "../stores/lease-resources.ts";
import type { LabelFacts } from "./labels.ts";
import { isExpired, isFlat, readLabels, usedAtOf } from "./labels.ts";
import type { NodeKind } from "./nodes.ts";
import { nodeOf, parseNode } from "./nodes.ts";

/** A node, its edges, and whether it is kept for its own sake. */
export interface NodeFacts {
  readonly root: boolean;
  /** Nodes that it keeps. */
  readonly refs: readonly string[];
  /** Nodes that it keeps without what they keep through labels, also when it is kept so itself. */
  readonly flatRefs: readonly string[];
  /** Nodes that keep it. */
  readonly parents: readonly string[];
}

/** What facts depend on besides the record. */
export interface FactScope {
  readonly db: MetadataDb;
  /** Time of the collection, in milliseconds since the epoch. */
  readonly nowMs: number;
  /** Whether an ingest has an open writer. */
  isOpen(namespace: string, ref: string): boolean;
}

/** The facts of a node as the database has it now; undefined when it has no such record. */
export function factsOf(scope: FactScope, node: string): NodeFacts | undefined {
  const { kind, key } = parseNode(node);
  return readers[kind](scope, key);
}

/** Whether a lease keeps what it holds, and how; undefined when it has expired or is not there. */
export function leaseHold({ db, nowMs }: FactScope, key: readonly string[]): "deep" | "flat" | undefined {
  const lease = db.leases.get(...key);
  if (lease === undefined || isExpired(lease.labels, nowMs)) return undefined;
  return isFlat(lease.labels) ? "flat" : "deep";
}

/** The node that a key of `leaseResources` stands for. */
export function leasedBy([namespace = "", , type = "", id = ""]: readonly string[]): string {
  return leasedNode(namespace, { type, id });
}

type Reader = (scope: FactScope, key: string[]) => NodeFacts | undefined;

const readers: Record<NodeKind, Reader> = {
  content(scope, key) {
    const info = scope.db.blobs.get(...key);
    if (info === undefined) return undefined;
    const labels = readLabels(key[0] ?? "", info.labels);
    return { root: labels.root, refs: targets(scope, labels), flatRefs: [], parents: labels.parents };
  },

  snapshot(scope, key) {
    const record = scope.db.snapshots.get(...key);
    if (record === undefined) return undefined;
    const { parent } = record.info;
    const labels = readLabels(key[0] ?? "", record.info.labels);
    const flatRefs = parent === "" ? [] : [nodeOf("snapshot", [key[0] ?? "", key[1] ?? "", parent])];
    return { root: labels.root, refs: [...flatRefs, ...labels.refs], flatRefs, parents: labels.parents };
  },

  image(scope, key) {
    const image = scope.db.images.get(...key);
    if (image === undefined) return undefined;
    const namespace = key[0] ?? "";
    const labels = readLabels(namespace, image.labels);
    const flatRefs = image.target === undefined ? [] : [nodeOf("content", [namespace, image.target.digest])];
    const root = !isExpired(image.labels, scope.nowMs);
    return { root, refs: [...flatRefs, ...targets(scope, labels)], flatRefs, parents: root ? [] : labels.parents };
  },

  lease(scope, key) {
    const lease = scope.db.leases.get(...key);
    if (lease === undefined) return undefined;
    if (isExpired(lease.labels, scope.nowMs)) return nothing;
    const leased = [...scope.db.leaseResources.keysUnder(...key)].map(leasedBy);
    const flat = isFlat(lease.labels);
    return { root: true, refs: flat ? [] : leased, flatRefs: flat ? leased : [], parents: [] };
  },

  ingest(scope, key) {
    const record = scope.db.ingests.get(...key);
    if (record === undefined) return undefined;
    const [namespace = "", ref = ""] = key;
    const { expected } = record.status;
    const refs = expected === "" ? [] : [nodeOf("content", [namespace, expected])];
    // A lease keeps the others.
    const root = record.expiresAt >= scope.nowMs || scope.isOpen(namespace, ref);
    return { root, refs, flatRefs: refs, parents: [] };
  },

  container(scope, key) {
    const container = scope.db.containers.get(...key);
    if (container === undefined) return undefined;
    const { snapshotter, snapshotKey } = container;
    const labels = readLabels(key[0] ?? "", container.labels);
    const refs = snapshotter === "" ? [] : [nodeOf("snapshot", [key[0] ?? "", snapshotter, snapshotKey])];
    return { root: true, refs: [...refs, ...labels.refs], flatRefs: [], parents: [] };
  },

  sandbox(scope, key) {
    const sandbox = scope.db.sandboxes.get(...key);
    if (sandbox === undefined) return undefined;
    return { root: true, refs: readLabels(key[0] ?? "", sandbox.labels).refs, flatRefs: [], parents: [] };
  },
};

const nothing: NodeFacts = { root: false, refs: [], flatRefs: [], parents: [] };

/** References of content or an image, with the conditional ones that hold now. */
function targets(scope: FactScope, labels: LabelFacts): string[] {
  if (labels.conditions.length === 0) return labels.refs;
  const refs = [...labels.refs];
  for (const { snapshot, holds } of labels.conditions) {
    const record = scope.db.snapshots.get(...parseNode(snapshot).key);
    const usedAt = record === undefined ? undefined : usedAtOf(record.info.labels);
    if (usedAt !== undefined && holds(scope.nowMs - usedAt)) refs.push(snapshot);
  }
  return refs;
}
