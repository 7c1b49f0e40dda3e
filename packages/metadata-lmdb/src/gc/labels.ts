/**
 * What the labels of an object mean to the collector: core's reading of them, as nodes.
 */
import type { GcReference } from "@ctrd/core/gc-labels";
import { gcExpiry, readGcLabels } from "@ctrd/core/gc-labels";
import type { Labels } from "@ctrd/core/records";
import { nodeOf } from "./nodes.ts";

export { gcUsedAt as usedAtOf, isFlatLease as isFlat, parseRfc3339 } from "@ctrd/core/gc-labels";

/** A snapshot that is kept by the labelled object while it was used within, or not within, a time. */
export interface Condition {
  readonly snapshot: string;
  /** @param ageMs time since the snapshot was used */
  holds(ageMs: number): boolean;
}

/** Labels of one object, read. */
export interface LabelFacts {
  /** `gc.root` */
  root: boolean;
  /** Nodes that the object keeps (`gc.ref.*`). */
  refs: string[];
  /** Nodes that keep the object (`gc.bref.*`). */
  parents: string[];
  /** `gc.cond.*` */
  conditions: Condition[];
}

/** Reads the labels of an object of `namespace`. */
export function readLabels(namespace: string, labels: Labels): LabelFacts {
  const { root, refs, parents, conditions } = readGcLabels(labels);
  const toNode = ({ kind, snapshotter, id }: GcReference): string =>
    nodeOf(kind, kind === "snapshot" ? [namespace, snapshotter, id] : [namespace, id]);
  return {
    root: root !== undefined,
    refs: refs.map(toNode),
    parents: parents.map(toNode),
    conditions: conditions.map((condition) => ({ snapshot: toNode(condition), holds: condition.holds })),
  };
}

/** Whether `gc.expire` lies before `nowMs`. A value that is no time is ignored. */
export function isExpired(labels: Labels, nowMs: number): boolean {
  const time = gcExpiry(labels);
  return time !== undefined && time < nowMs;
}
