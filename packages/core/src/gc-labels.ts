/**
 * The labels that garbage collection reads: what they mean, for whoever collects and for whoever explains.
 *
 * @module
 */
import { parseGoDuration } from "./durations.ts";
import { isKind } from "./errors.ts";
import type { Labels } from "./records.ts";

/** What the names of all of these labels begin with. */
export const gcLabelPrefix = "containerd.io/gc.";
const rootLabel = "containerd.io/gc.root";
const refLabel = "containerd.io/gc.ref.";
const backRefLabel = "containerd.io/gc.bref.";
const conditionLabel = "containerd.io/gc.cond.snapshot";
const usedAtLabel = "containerd.io/gc.cond.value-usedat";
const expireLabel = "containerd.io/gc.expire";
const flatLabel = "containerd.io/gc.flat";

/** What a label refers to. */
export interface GcReference {
  readonly kind: "content" | "image" | "container" | "snapshot";
  /** Of a snapshot; empty otherwise. */
  readonly snapshotter: string;
  /** Digest, name, id or key. */
  readonly id: string;
  /** The label that says so. */
  readonly label: string;
}

/** A snapshot that is kept by the labelled object while it was used within, or not within, a time. */
export interface GcCondition extends GcReference {
  /** @param ageMs time since the snapshot was used */
  holds(ageMs: number): boolean;
}

/** The labels of one object, read. */
export interface GcLabels {
  /** The label `gc.root`; undefined without one. */
  readonly root: string | undefined;
  /** What the object keeps (`gc.ref.*`). */
  readonly refs: readonly GcReference[];
  /** What keeps the object (`gc.bref.*`). */
  readonly parents: readonly GcReference[];
  /** `gc.cond.*` */
  readonly conditions: readonly GcCondition[];
}

/** Reads the labels of an object. What is malformed is ignored, as containerd does. */
export function readGcLabels(labels: Labels): GcLabels {
  let root: string | undefined;
  const refs: GcReference[] = [];
  const parents: GcReference[] = [];
  const conditions: GcCondition[] = [];
  for (const [label, value] of labels) {
    if (!label.startsWith(gcLabelPrefix)) continue;
    if (label.startsWith(rootLabel)) root = label;
    else if (label.startsWith(refLabel)) refs.push(...referencesOf(label, refLabel, value));
    else if (label.startsWith(backRefLabel)) parents.push(...referencesOf(label, backRefLabel, value));
    else if (label.startsWith(conditionLabel)) conditions.push(...conditionsOf(label, value));
  }
  return { root, refs, parents, conditions };
}

/** `<kind>[(.|/)<name>]`, or `snapshot.<snapshotter>[/<name>]`; anything else is ignored. */
function referencesOf(label: string, start: string, id: string): GcReference[] {
  const suffix = label.slice(start.length);
  if (suffix.startsWith("snapshot.")) {
    return [{ kind: "snapshot", snapshotter: beforeSlash(suffix.slice("snapshot.".length)), id, label }];
  }
  const kinds = start === backRefLabel ? (["content", "image", "container"] as const) : (["content", "image"] as const);
  for (const kind of kinds) {
    const next = suffix[kind.length];
    if (suffix.startsWith(kind) && (next === undefined || next === "." || next === "/")) {
      return [{ kind, snapshotter: "", id, label }];
    }
  }
  return [];
}

function beforeSlash(text: string): string {
  const slash = text.indexOf("/");
  return slash < 0 ? text : text.slice(0, slash);
}

/** `usedat<24h,usedat>30m|<snapshot key>`; conditions that are not understood are ignored. */
function conditionsOf(label: string, value: string): GcCondition[] {
  const bar = value.indexOf("|");
  if (bar < 0) return [];
  const snapshotter = beforeSlash(label.slice(conditionLabel.length).replace(/^[./]+/, ""));
  const target = { kind: "snapshot", snapshotter, id: value.slice(bar + 1), label } as const;
  const conditions: GcCondition[] = [];
  for (const text of value.slice(0, bar).split(",")) {
    const match = /^usedat([<>])([^=].*)$/.exec(text);
    const limit = match === null ? undefined : durationOf(match[2] ?? "");
    if (match === null || limit === undefined) continue;
    conditions.push({ ...target, holds: match[1] === "<" ? (age) => age < limit : (age) => age > limit });
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

/** When a snapshot was last used, in milliseconds since the epoch; undefined when its labels do not say. */
export function gcUsedAt(labels: Labels): number | undefined {
  for (const [key, value] of labels) if (key.startsWith(usedAtLabel)) return parseRfc3339(value);
  return undefined;
}

/** When `gc.expire` ends a lease or an image, in milliseconds since the epoch. A value that is no time is ignored. */
export function gcExpiry(labels: Labels): number | undefined {
  const expiry = labels.get(expireLabel);
  return expiry === undefined ? undefined : parseRfc3339(expiry);
}

/** Whether a lease keeps only what it names. */
export function isFlatLease(labels: Labels): boolean {
  return labels.has(flatLabel);
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** Milliseconds since the epoch; undefined when `text` is not an RFC 3339 time. */
export function parseRfc3339(text: string): number | undefined {
  if (!rfc3339.test(text)) return undefined;
  const millis = Date.parse(text);
  return Number.isNaN(millis) ? undefined : millis;
}
