/**
 * How the backend's view of a snapshot and the namespace's view make one.
 */
import type { Labels } from "@ctrd/core/records";
import type { SnapshotInfo } from "@ctrd/core/snapshots";
import { inheritedLabelPrefix, snapshotRefLabel } from "@ctrd/core/snapshots";

/** The labels that the backend is to see. */
export function inheritedLabels(labels: Labels): Labels {
  const inherited: Labels = new Map();
  for (const [key, value] of labels) {
    if (key === snapshotRefLabel || key.startsWith(inheritedLabelPrefix)) inherited.set(key, value);
  }
  return inherited;
}

/** Kind from the backend, the rest from the namespace; labels of both, where the namespace's win. */
export function overlayInfo(backend: SnapshotInfo, own: SnapshotInfo): SnapshotInfo {
  return { ...own, kind: backend.kind, labels: new Map([...backend.labels, ...own.labels]) };
}
