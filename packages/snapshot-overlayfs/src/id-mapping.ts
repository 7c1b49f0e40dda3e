/**
 * The labels that say how ids of a user namespace map to those of the host. Pure.
 */
import { invalidArgument } from "@ctrd/core/errors";
import type { Labels } from "@ctrd/core/records";

/** Label with `<container id>:<host id>:<size>[,…]` of the users. */
export const uidMappingLabel = "containerd.io/snapshot/uidmapping";
/** Label with `<container id>:<host id>:<size>[,…]` of the groups. */
export const gidMappingLabel = "containerd.io/snapshot/gidmapping";

/** Owner of a file. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Largest id; the next one means "none" to the kernel. */
const largestId = 0xffff_fffe;

/**
 * The host ids of the container's root.
 *
 * @returns `undefined` without mapping labels
 * @throws `invalid-argument` when a label is malformed, one is missing, or id 0 is not mapped
 */
export function mappedRoot(labels: Labels): Owner | undefined {
  const uids = labels.get(uidMappingLabel);
  const gids = labels.get(gidMappingLabel);
  if (uids === undefined && gids === undefined) return undefined;
  return { uid: hostRoot(uidMappingLabel, uids), gid: hostRoot(gidMappingLabel, gids) };
}

function hostRoot(label: string, text: string | undefined): number {
  if (text === undefined) throw invalidArgument(`label "${label}" is missing beside the other mapping`);
  const ranges = text.split(",").map((part) => parseRange(label, part));
  const range = ranges.find(([container]) => container === 0);
  if (range === undefined) throw invalidArgument(`label "${label}": "${text}" does not map id 0`);
  return range[1];
}

function parseRange(label: string, text: string): [container: number, host: number] {
  const numbers = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text)?.slice(1).map(Number);
  const [container = 0, host = 0, size = 0] = numbers ?? [];
  if (size === 0 || container + size - 1 > largestId || host + size - 1 > largestId) {
    throw invalidArgument(`label "${label}": "${text}" is not <container id>:<host id>:<size>`);
  }
  return [container, host];
}
