/** Labels of the records that CRI makes. */
import type { Labels } from "@ctrd/core/records";

/** Label that tells what a container is to CRI. */
export const kindLabel = "io.cri-containerd.kind";

/** Prefixes whose labels mean something to the daemon: an image or a client must not set them (CVE-2026-53488). */
const ownPrefixes = ["containerd.io/", "io.containerd.", "io.cri-containerd"];
/** Most bytes of a label's key and value. */
const maxLabel = 4096;

/** Labels of a container record: those of the image, of the request, and its kind; the later ones win. */
export function recordLabels(
  kind: "sandbox" | "container",
  image: ReadonlyMap<string, string>,
  config: ReadonlyMap<string, string>,
): Labels {
  const ofImage = [...image].filter(
    ([key, value]) =>
      !ownPrefixes.some((prefix) => key.startsWith(prefix)) &&
      Buffer.byteLength(key) + Buffer.byteLength(value) <= maxLabel,
  );
  return new Map([...ofImage, ...config, [kindLabel, kind]]);
}
