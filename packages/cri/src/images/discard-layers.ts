/** Lets compressed layers be collected once they are unpacked. */
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { ImageDescriptor } from "@ctrd/images";
import { childrenOf, dispatch, isIndexType, isManifestType } from "@ctrd/images";

/** Labels of a manifest that keep its layers. */
const layerLabel = "containerd.io/gc.ref.content.l.";

/** Takes the layers of an image out of what its manifests keep. */
export async function discardLayers(ctx: CallContext, content: ContentStore, target: Descriptor): Promise<void> {
  const children = childrenOf(content);
  const discard = async (inner: CallContext, descriptor: ImageDescriptor): Promise<readonly ImageDescriptor[]> => {
    if (isIndexType(descriptor.mediaType)) return children(inner, descriptor);
    if (isManifestType(descriptor.mediaType)) await release(inner, content, descriptor.digest);
    return [];
  };
  await dispatch(ctx, discard, [target]);
}

async function release(ctx: CallContext, content: ContentStore, digest: string): Promise<void> {
  try {
    const info = await content.info(ctx, digest);
    const mask = [...info.labels.keys()].filter((key) => key.startsWith(layerLabel)).map((key) => `labels.${key}`);
    if (mask.length > 0) await content.update(ctx, { ...info, labels: new Map() }, mask);
  } catch (error) {
    // A manifest for another platform, which was not pulled.
    if (!isKind(error, "not-found")) throw error;
  }
}
