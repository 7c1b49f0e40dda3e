/**
 * Objects of a namespace and what they refer to: the nodes of the reference graph.
 */
import type { Container } from "@ctrd/core/containers";
import type { ContentInfo, IngestStatus } from "@ctrd/core/content";
import type { GcReference } from "@ctrd/core/gc-labels";
import { gcExpiry, gcUsedAt, isFlatLease, readGcLabels } from "@ctrd/core/gc-labels";
import type { Image } from "@ctrd/core/images";
import type { Lease, LeaseResource } from "@ctrd/core/leases";
import type { Labels } from "@ctrd/core/records";
import { millisFromTimestamp } from "@ctrd/core/records";
import type { Sandbox } from "@ctrd/core/sandboxes";
import type { SnapshotInfo } from "@ctrd/core/snapshots";

/** Kinds of objects. Containers and sandboxes are never collected. */
export type ObjectKind = "container" | "image" | "lease" | "sandbox" | "content" | "snapshot" | "ingest";

/** Names an object of a namespace: id, name, digest, key or ref. */
export interface ObjectId {
  readonly kind: ObjectKind;
  readonly id: string;
  /** Of a snapshot; empty otherwise. */
  readonly snapshotter: string;
}

/** That an object keeps another. */
export interface HeldReference {
  readonly to: ObjectId;
  /** Why: `target`, `parent`, `leased`, `snapshot of`, `expected`, or the label. */
  readonly via: string;
  /** Whether a flat lease follows it as well. */
  readonly flat: boolean;
}

/** An object as the collector sees it. */
export interface HeldObject extends ObjectId {
  /** Why it is kept for its own sake; undefined when something else must keep it. */
  readonly root: string | undefined;
  /** When it stops being kept for its own sake, in milliseconds since the epoch; undefined for never. */
  readonly expiresAt: number | undefined;
  readonly refs: readonly HeldReference[];
  /** What keeps it by a label of its own (`gc.bref.*`). */
  readonly parents: readonly HeldReference[];
  /** A lease that keeps no more than what it names. */
  readonly flatLease: boolean;
  /** In bytes, where it is cheap to know: of content and ingests. */
  readonly size: bigint | undefined;
  readonly createdAt: Date | undefined;
  readonly updatedAt: Date | undefined;
  readonly labels: Labels;
}

/** What the reading of objects depends on. */
export interface ReadingRules {
  readonly nowMs: number;
  /**
   * Whether the daemon knows `gc.bref.*`, `gc.ref.image`, `gc.cond.*` and images that expire: containerd before 1.7
   * does not.
   */
  readonly allLabels: boolean;
  /** When a snapshot was used, by its key in a map of {@link objectKey}. */
  readonly usedAt: ReadonlyMap<string, number>;
}

/** A string that names an object, for maps. */
export function objectKey({ kind, snapshotter, id }: ObjectId): string {
  return `${kind}\0${snapshotter}\0${id}`;
}

const object = (kind: ObjectKind, id: string, snapshotter = ""): ObjectId => ({ kind, id, snapshotter });
const reference = (to: ObjectId, via: string, flat = false): HeldReference => ({ to, via, flat });

/** When the labels of a snapshot say that it was used. */
export function noteUse(usedAt: Map<string, number>, snapshotter: string, { name, labels }: SnapshotInfo): void {
  const time = gcUsedAt(labels);
  if (time !== undefined) usedAt.set(objectKey(object("snapshot", name, snapshotter)), time);
}

/** A blob. */
export function contentObject(info: ContentInfo, rules: ReadingRules): HeldObject {
  const labels = labelReferences(info.labels, rules, true);
  return { ...common(object("content", info.digest), info), ...labels, size: info.size };
}

/** A snapshot. */
export function snapshotObject(snapshotter: string, info: SnapshotInfo, rules: ReadingRules): HeldObject {
  const { refs, ...labels } = labelReferences(info.labels, rules, false);
  const parent = info.parent === "" ? [] : [reference(object("snapshot", info.parent, snapshotter), "parent", true)];
  return { ...common(object("snapshot", info.name, snapshotter), info), ...labels, refs: [...parent, ...refs] };
}

/** An image: a root until it expires. */
export function imageObject(image: Image, rules: ReadingRules): HeldObject {
  const { refs, parents } = labelReferences(image.labels, rules, true);
  const { target } = image;
  const targets = target === undefined ? [] : [reference(object("content", target.digest), "target", true)];
  const expiresAt = rules.allLabels ? gcExpiry(image.labels) : undefined;
  const expired = isOver(expiresAt, rules);
  return {
    ...common(object("image", image.name), image),
    refs: [...targets, ...refs],
    root: expired ? undefined : "an image name",
    expiresAt,
    parents: expired ? parents : [],
  };
}

/** A container, which is a root. */
export function containerObject(container: Container, rules: ReadingRules): HeldObject {
  const { refs } = labelReferences(container.labels, rules, false);
  const { snapshotter, snapshotKey } = container;
  const own = snapshotter === "" ? [] : [reference(object("snapshot", snapshotKey, snapshotter), "snapshot of")];
  return { ...common(object("container", container.id), container), root: "a container", refs: [...own, ...refs] };
}

/** A sandbox, which is a root. */
export function sandboxObject(sandbox: Sandbox, rules: ReadingRules): HeldObject {
  const { refs } = labelReferences(sandbox.labels, rules, false);
  return { ...common(object("sandbox", sandbox.sandboxId), sandbox), root: "a sandbox", refs };
}

/** A lease: a root until it expires. */
export function leaseObject(lease: Lease, resources: readonly LeaseResource[], { nowMs }: ReadingRules): HeldObject {
  const expiresAt = gcExpiry(lease.labels);
  const expired = expiresAt !== undefined && expiresAt < nowMs;
  const flatLease = isFlatLease(lease.labels);
  return {
    ...common(object("lease", lease.id), lease),
    root: expired ? undefined : "a lease",
    expiresAt,
    refs: resources.flatMap(leasedObject).map((to) => reference(to, "leased", flatLease)),
    flatLease,
  };
}

function leasedObject({ type, id }: LeaseResource): ObjectId[] {
  const slash = type.indexOf("/");
  switch (slash < 0 ? type : type.slice(0, slash)) {
    case "content":
      return [object("content", id)];
    case "ingests":
      return [object("ingest", id)];
    case "images":
      return [object("image", id)];
    case "snapshots":
      return [object("snapshot", id, type.slice(slash + 1))];
    default:
      return [];
  }
}

/** An ingest without a lease lives that long. */
const ingestLifeMs = 24 * 3600 * 1000;

/** A partial upload: a root for a day, unless it was begun under a lease. */
export function ingestObject(status: IngestStatus, isLeased: boolean, { nowMs }: ReadingRules): HeldObject {
  const expiresAt = isLeased ? undefined : millisFromTimestamp(status.startedAt) + ingestLifeMs;
  const refs = status.expected === "" ? [] : [reference(object("content", status.expected), "expected", true)];
  const times = { createdAt: status.startedAt, updatedAt: status.updatedAt, labels: new Map<string, string>() };
  return {
    ...common(object("ingest", status.ref), times),
    root: expiresAt !== undefined && expiresAt >= nowMs ? "an upload under way" : undefined,
    expiresAt,
    refs,
    size: status.offset,
  };
}

type Common = Parameters<typeof millisFromTimestamp>[0];

function common(id: ObjectId, record: { createdAt: Common; updatedAt?: Common; labels: Labels }): HeldObject {
  return {
    ...id,
    root: undefined,
    expiresAt: undefined,
    refs: [],
    parents: [],
    flatLease: false,
    size: undefined,
    createdAt: dateOf(record.createdAt),
    updatedAt: dateOf(record.updatedAt),
    labels: record.labels,
  };
}

/** containerd sends the zero time of Go where there is none. */
function dateOf(timestamp: Common): Date | undefined {
  const millis = millisFromTimestamp(timestamp);
  return timestamp === undefined || millis <= 0 ? undefined : new Date(millis);
}

function isOver(expiresAt: number | undefined, { nowMs }: ReadingRules): boolean {
  return expiresAt !== undefined && expiresAt < nowMs;
}

/** What the labels of an object say. @param conditional whether conditions count on such an object */
function labelReferences(
  labels: Labels,
  rules: ReadingRules,
  conditional: boolean,
): Pick<HeldObject, "root" | "refs" | "parents"> {
  const read = readGcLabels(labels);
  const held = ({ kind, snapshotter, id, label }: GcReference): HeldReference =>
    reference(object(kind, id, snapshotter), label);
  if (!rules.allLabels) {
    const known = read.refs.filter(({ kind }) => kind === "content" || kind === "snapshot");
    return { root: read.root, refs: known.map(held), parents: [] };
  }
  const holding = conditional
    ? read.conditions.filter((condition) => {
        const usedAt = rules.usedAt.get(objectKey(condition));
        return usedAt !== undefined && condition.holds(rules.nowMs - usedAt);
      })
    : [];
  return { root: read.root, refs: [...read.refs, ...holding].map(held), parents: read.parents.map(held) };
}
