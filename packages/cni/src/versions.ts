/**
 * Versions of the CNI specification.
 *
 * @module
 */

/** Versions that configurations and results may have, the oldest first. */
export const supportedVersions = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

/** A version of the CNI specification. */
export type CniVersion = (typeof supportedVersions)[number];

/** Whether a version is at least another one. */
export function versionAtLeast(version: CniVersion, other: CniVersion): boolean {
  return supportedVersions.indexOf(version) >= supportedVersions.indexOf(other);
}
