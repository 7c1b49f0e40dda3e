/** Tells snapshotters which image a layer belongs to: remote ones fetch it by this. */
import { isLayerType, isManifestType } from "@ctrd/images";
import type { ImageHandlerWrapper } from "@ctrd/images";

const prefix = "containerd.io/snapshot/cri.";
/** Most bytes of a label's key and value. */
const maxLabel = 4096;

/** Puts annotations on layers that become labels of their snapshots. */
export function annotateLayers(reference: string): ImageHandlerWrapper {
  return (handler) => async (ctx, descriptor) => {
    const children = await handler(ctx, descriptor);
    if (!isManifestType(descriptor.mediaType)) return children;
    return children.map((child, index) => {
      if (!isLayerType(child.mediaType)) return child;
      const layers = children.slice(index).filter(({ mediaType }) => isLayerType(mediaType));
      const annotations = new Map([
        ...child.annotations,
        [`${prefix}image-ref`, reference],
        [`${prefix}manifest-digest`, descriptor.digest],
        [`${prefix}layer-digest`, child.digest],
        [
          `${prefix}image-layers`,
          fitting(
            `${prefix}image-layers`,
            layers.map(({ digest }) => digest),
          ),
        ],
      ]);
      return { ...child, annotations };
    });
  };
}

/** As many digests as a label holds. */
function fitting(key: string, digests: readonly string[]): string {
  let value = "";
  for (const digest of digests) {
    const next = value === "" ? digest : `${value},${digest}`;
    if (key.length + next.length > maxLabel) break;
    value = next;
  }
  return value;
}
