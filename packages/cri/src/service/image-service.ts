/** CRI's ImageService. */
import type { ImageFilter, ImageSpec, PullImageRequest } from "@ctrd/api/cri/runtime/v1/api";
import { ImageServiceDefinition } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { invalidArgument } from "@ctrd/core/errors";
import type { BoundService } from "@ctrd/services";
import { bindService } from "@ctrd/services";
import type { CriImage } from "../images/cri-image.ts";
import { imageMessage } from "../images/cri-image.ts";
import type { Cri } from "../store/cri.ts";
import { batches } from "./filters.ts";
import { imageFileSystems } from "./image-fs-info.ts";

/** Annotation of a pull that names the handler of the pod. */
const handlerAnnotation = "io.containerd.cri.runtime-handler";

/** Serves images. */
export function imageService(cri: Cri): BoundService {
  return bindService(ImageServiceDefinition, {
    async listImages(ctx, { filter }) {
      cri.serving(ctx);
      return { images: selectImages(cri, filter).map(imageMessage) };
    },
    async *streamImages(ctx, { filter }) {
      cri.serving(ctx);
      for (const images of batches(selectImages(cri, filter))) yield { images: images.map(imageMessage) };
    },
    async imageStatus(ctx, { image, verbose }) {
      cri.serving(ctx);
      const found = cri.images.find(nameOf(image));
      if (found === undefined) return { image: undefined, info: new Map() };
      return { image: imageMessage(found), info: new Map(verbose ? [["info", verboseInfo(found)]] : []) };
    },
    async pullImage(ctx, request) {
      return { imageRef: await pullImage(cri, cri.serving(ctx), request) };
    },
    async removeImage(ctx, { image }) {
      await cri.images.remove(cri.serving(ctx), nameOf(image));
      return {};
    },
    imageFsInfo: (ctx) => imageFileSystems(cri, cri.serving(ctx)),
  });
}

async function pullImage(
  cri: Cri,
  ctx: CallContext,
  { image, auth, sandboxConfig }: PullImageRequest,
): Promise<string> {
  const runtimeHandler =
    image?.runtimeHandler ||
    (image?.annotations.get(handlerAnnotation) ?? sandboxConfig?.annotations.get(handlerAnnotation) ?? "");
  const pulled = await cri.metrics.pull(() => cri.images.pull(ctx, nameOf(image), { auth, runtimeHandler }));
  return pulled.id;
}

function selectImages(cri: Cri, filter: ImageFilter | undefined): CriImage[] {
  const wanted = filter?.image?.image ?? "";
  if (wanted === "") return cri.images.list();
  const found = cri.images.find(wanted);
  return found === undefined ? [] : [found];
}

function nameOf(image: ImageSpec | undefined): string {
  if (image === undefined || image.image === "") throw invalidArgument("image.image must be set");
  return image.image;
}

function verboseInfo({ chainId, document }: CriImage): string {
  return JSON.stringify({ chainID: chainId, imageSpec: document });
}
