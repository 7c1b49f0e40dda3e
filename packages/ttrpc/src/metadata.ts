/**
 * Metadata of a call: lower-case keys, each with a list of values.
 *
 * @module
 */
import type { KeyValue } from "@ctrd/api/ttrpc/request";

/** Metadata of a call. Keys are lower-case; readers use the first value. */
export type Metadata = Map<string, string[]>;

/** Collects wire pairs; repeated keys make a list. */
export function metadataFromPairs(pairs: readonly KeyValue[]): Metadata {
  const metadata: Metadata = new Map();
  for (const { key, value } of pairs) {
    const name = key.toLowerCase();
    const values = metadata.get(name);
    if (values === undefined) metadata.set(name, [value]);
    else values.push(value);
  }
  return metadata;
}

/** Wire pairs of metadata: one for each value. */
export function pairsFromMetadata(metadata: ReadonlyMap<string, readonly string[]>): KeyValue[] {
  const pairs: KeyValue[] = [];
  for (const [key, values] of metadata) {
    const name = key.toLowerCase();
    for (const value of values) pairs.push({ key: name, value });
  }
  return pairs;
}

/** The first value of `key`, if it is there. */
export function firstValue(metadata: ReadonlyMap<string, readonly string[]>, key: string): string | undefined {
  return metadata.get(key.toLowerCase())?.[0];
}
