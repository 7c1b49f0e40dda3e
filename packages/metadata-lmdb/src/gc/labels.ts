/**
 * What the labels of an object mean to the collector.
 */
import { parseGoDuration } from "@ctrd/core/durations";
import { isKind } from "@ctrd/core/errors";
import type { Labels } from "@ctrd/core/records";
import type { NodeKind } from "./nodes.ts";
import { nodeOf } from "./nodes.ts";

const prefix = "containerd.io/gc.";
const rootLabel = "containerd.io/gc.root";
const refLabel = "containerd.io/gc.ref.";
const backRefLabel = "containerd.io/gc.bref.";
const conditionLabel = "containerd.io/gc.cond.snapshot";
const usedAtLabel = "containerd.io/gc.cond.value-usedat";
const expireLabel = "containerd.io/gc.expire";
const flatLabel = "containerd.io/gc.flat";

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
  const facts: LabelFacts = { root: false, refs: [], parents: [], conditions: [] };
  for (const [key, value] of labels) {
    if (!key.startsWith(prefix)) continue;
    if (key.startsWith(rootLabel)) facts.root = true;
    else if (key.startsWith(refLabel)) addTarget(facts.refs, namespace, key.slice(refLabel.length), value, false);
    else if (key.startsWith(backRefLabel)) {
      addTarget(facts.parents, namespace, key.slice(backRefLabel.length), value, true);
    } else if (key.startsWith(conditionLabel)) {
      facts.conditions.push(...readConditions(namespace, key.slice(conditionLabel.length), value));
    }
  }
  return facts;
}

/** `<kind>[(.|/)<name>]`, or `snapshot.<snapshotter>[/<name>]`; anything else is ignored. */
function addTarget(nodes: string[], namespace: string, suffix: string, value: string, back: boolean): void {
  if (suffix.startsWith("snapshot.")) {
    nodes.push(nodeOf("snapshot", [namespace, beforeSlash(suffix.slice("snapshot.".length)), value]));
    return;
  }
  const kinds: NodeKind[] = back ? ["content", "image", "container"] : ["content", "image"];
  for (const kind of kinds) {
    const next = suffix[kind.length];
    if (suffix.startsWith(kind) && (next === undefined || next === "." || next === "/")) {
      nodes.push(nodeOf(kind, [namespace, value]));
    }
  }
}

function beforeSlash(text: string): string {
  const slash = text.indexOf("/");
  return slash < 0 ? text : text.slice(0, slash);
}

/** `usedat<24h,usedat>30m|<snapshot key>`; conditions that are not understood are ignored. */
function readConditions(namespace: string, suffix: string, value: string): Condition[] {
  const bar = value.indexOf("|");
  if (bar < 0) return [];
  const snapshotter = beforeSlash(suffix.replace(/^[./]+/, ""));
  const snapshot = nodeOf("snapshot", [namespace, snapshotter, value.slice(bar + 1)]);
  const conditions: Condition[] = [];
  for (const text of value.slice(0, bar).split(",")) {
    const match = /^usedat([<>])([^=].*)$/.exec(text);
    const limit = match === null ? undefined : durationOf(match[2] ?? "");
    if (match === null || limit === undefined) continue;
    conditions.push({ snapshot, holds: match[1] === "<" ? (age) => age < limit : (age) => age > limit });
  }
  return conditions;
}

function durationOf(text: string): number | undefined {
  try {
    return parseGoDuration(text);
  } catch (error) {
    if (isKind(error, "invalid-argument")) return undefined;
    throw error;
  }
}

/** When a snapshot was last used, in milliseconds since the epoch. */
export function usedAtOf(labels: Labels): number | undefined {
  for (const [key, value] of labels) if (key.startsWith(usedAtLabel)) return parseRfc3339(value);
  return undefined;
}

/** Whether `gc.expire` lies before `nowMs`. A value that is no time is ignored. */
export function isExpired(labels: Labels, nowMs: number): boolean {
  const expiry = labels.get(expireLabel);
  const time = expiry === undefined ? undefined : parseRfc3339(expiry);
  return time !== undefined && time < nowMs;
}

/** Whether a lease keeps only what it names. */
export function isFlat(labels: Labels): boolean {
  return labels.has(flatLabel);
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** Milliseconds since the epoch; undefined when `text` is not an RFC 3339 time. */
export function parseRfc3339(text: string): number | undefined {
  if (!rfc3339.test(text)) return undefined;
  const millis = Date.parse(text);
  return Number.isNaN(millis) ? undefined : millis;
}
