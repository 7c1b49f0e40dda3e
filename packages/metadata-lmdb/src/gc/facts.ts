/**
 * What one record contributes to the reference graph.
 */
import { gcLabelPrefix } from "@ctrd/core/gc-labels";
import type { MetadataDb } from "../db/database.ts";
import { snapshotParent } from "../db/records.ts";
import type { Table } from "../db/table.ts";
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
  const bytes = tableOf(scope.db, kind).bytes(...key);
  return bytes === undefined ? undefined : factsOfRecord(scope, kind, key, bytes);
}

/** The facts of a record that was just read. */
export function factsOfRecord(scope: FactScope, kind: NodeKind, key: readonly string[], bytes: Uint8Array): NodeFacts {
  return readers[kind](scope, key, bytes);
}

/** The table of the records of a kind. */
export function tableOf(db: MetadataDb, kind: NodeKind): Table<unknown> {
  switch (kind) {
    case "content":
      return db.blobs;
    case "snapshot":
      return db.snapshots;
    case "image":
      return db.images;
    case "lease":
      return db.leases;
    case "ingest":
      return db.ingests;
    case "container":
      return db.containers;
    case "sandbox":
      return db.sandboxes;
  }
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

type Reader = (scope: FactScope, key: readonly string[], bytes: Uint8Array) => NodeFacts;

const readers: Record<NodeKind, Reader> = {
  content(scope, key, bytes) {
    if (!hasGcLabels(bytes)) return nothing;
    const labels = readLabels(key[0] ?? "", scope.db.blobs.decode(bytes).labels);
    return { root: labels.root, refs: targets(scope, labels), flatRefs: [], parents: labels.parents };
  },

  snapshot(scope, key, bytes) {
    const [namespace = "", snapshotter = ""] = key;
    const parent = snapshotParent(bytes);
    const flatRefs = parent === "" ? [] : [nodeOf("snapshot", [namespace, snapshotter, parent])];
    if (!hasGcLabels(bytes)) return { root: false, refs: flatRefs, flatRefs, parents: [] };
    const labels = readLabels(namespace, scope.db.snapshots.decode(bytes).info.labels);
    return { root: labels.root, refs: [...flatRefs, ...labels.refs], flatRefs, parents: labels.parents };
  },

  image(scope, key, bytes) {
    const image = scope.db.images.decode(bytes);
    const namespace = key[0] ?? "";
    const labels = readLabels(namespace, image.labels);
    const flatRefs = image.target === undefined ? [] : [nodeOf("content", [namespace, image.target.digest])];
    const root = !isExpired(image.labels, scope.nowMs);
    return { root, refs: [...flatRefs, ...targets(scope, labels)], flatRefs, parents: root ? [] : labels.parents };
  },

  lease(scope, key, bytes) {
    const lease = scope.db.leases.decode(bytes);
    if (isExpired(lease.labels, scope.nowMs)) return nothing;
    const leased = [...scope.db.leaseResources.keysUnder(...key)].map(leasedBy);
    const flat = isFlat(lease.labels);
    return { root: true, refs: flat ? [] : leased, flatRefs: flat ? leased : [], parents: [] };
  },

  ingest(scope, key, bytes) {
    const record = scope.db.ingests.decode(bytes);
    const [namespace = "", ref = ""] = key;
    const { expected } = record.status;
    const refs = expected === "" ? [] : [nodeOf("content", [namespace, expected])];
    // A lease keeps the others.
    const root = record.expiresAt >= scope.nowMs || scope.isOpen(namespace, ref);
    return { root, refs, flatRefs: refs, parents: [] };
  },

  container(scope, key, bytes) {
    const container = scope.db.containers.decode(bytes);
    const { snapshotter, snapshotKey } = container;
    const labels = readLabels(key[0] ?? "", container.labels);
    const refs = snapshotter === "" ? [] : [nodeOf("snapshot", [key[0] ?? "", snapshotter, snapshotKey])];
    return { root: true, refs: [...refs, ...labels.refs], flatRefs: [], parents: [] };
  },

  sandbox(scope, key, bytes) {
    const { labels } = scope.db.sandboxes.decode(bytes);
    return { root: true, refs: readLabels(key[0] ?? "", labels).refs, flatRefs: [], parents: [] };
  },
};

const gcLabel = Buffer.from(gcLabelPrefix);

/** Whether a stored record may have labels that mean something here: looking for the bytes is quicker than decoding. */
function hasGcLabels(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(gcLabel);
}

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
