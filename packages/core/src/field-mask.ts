/**
 * Field masks of Update calls.
 *
 * @module
 */
import { invalidArgument } from "./errors.ts";
import { withoutEmptyLabels } from "./labels.ts";
import type { Labels } from "./records.ts";

/**
 * The labels of an object after an Update whose mask allows nothing but labels.
 *
 * `labels`, and an empty mask, replace all labels; `labels.<key>` sets one, or removes it when `wanted` has no value
 * for it. Neither argument is changed. Check the result with `checkLabels`.
 *
 * @param what names the object, for the message (`content "sha256:…"`)
 * @throws ContainerdError `invalid-argument` for any other path
 */
export function applyLabelMask(current: Labels, wanted: Labels, mask: readonly string[], what: string): Labels {
  if (mask.length === 0) return withoutEmptyLabels(wanted);
  let labels = current;
  for (const path of mask) {
    if (path === "labels") {
      labels = wanted;
      continue;
    }
    const key = maskedKey(path, "labels");
    if (key === undefined) {
      throw invalidArgument(`update ${what}: field "${path}" cannot be changed, only labels and labels.<key>`);
    }
    labels = new Map(labels).set(key, wanted.get(key) ?? "");
  }
  return withoutEmptyLabels(labels);
}

/** The key of a path into a map field (`labels.a.b` of `labels` is `a.b`); undefined when it is another path. */
export function maskedKey(path: string, field: string): string | undefined {
  return path.startsWith(`${field}.`) && path.length > field.length + 1 ? path.slice(field.length + 1) : undefined;
}
