/**
 * The rules of labels.
 *
 * @module
 */
import { invalidArgument } from "./errors.ts";
import type { Labels } from "./records.ts";

/** Most bytes of a label's key and value together. */
export const maxLabelSize = 4096;

/**
 * Checks the size of every label. Call it on every write of labels.
 *
 * @throws ContainerdError `invalid-argument` naming the first label that is too large
 */
export function checkLabels(labels: Labels): void {
  for (const [key, value] of labels) {
    // A UTF-16 unit is at most three bytes of UTF-8, so short labels need no count.
    if ((key.length + value.length) * 3 <= maxLabelSize) continue;
    const size = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (size <= maxLabelSize) continue;
    const name = key.length > 64 ? `${key.slice(0, 64)}…` : key;
    throw invalidArgument(`label "${name}": key and value have ${size} bytes, at most ${maxLabelSize} are allowed`);
  }
}

/** The labels that have a value: containerd stores no empty ones, on create as on update. */
export function withoutEmptyLabels(labels: Labels): Labels {
  const kept: Labels = new Map();
  for (const [key, value] of labels) {
    if (value !== "") kept.set(key, value);
  }
  return kept;
}
