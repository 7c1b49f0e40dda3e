/**
 * User namespaces of OCI specs. Pure.
 *
 * @module
 */

interface SpecPart {
  linux?: {
    namespaces?: { type?: unknown }[];
    gidMappings?: { containerID?: unknown; hostID?: unknown; size?: unknown }[];
  };
}

/**
 * The host's gid that is root's group in the container; undefined without a user namespace.
 *
 * @param spec OCI spec as JSON
 */
export function rootGidOf(spec: Uint8Array): number | undefined {
  const text = Buffer.from(spec.buffer, spec.byteOffset, spec.byteLength);
  // Most specs have no mappings; then the JSON need not be parsed.
  if (!text.includes('"gidMappings"')) return undefined;
  const { linux } = JSON.parse(text.toString()) as SpecPart;
  if (linux?.namespaces?.some((namespace) => namespace.type === "user") !== true) return undefined;
  const root = linux.gidMappings?.find((mapping) => mapping.containerID === 0 || mapping.containerID === undefined);
  return typeof root?.hostID === "number" && Number.isInteger(root.hostID) ? root.hostID : undefined;
}
