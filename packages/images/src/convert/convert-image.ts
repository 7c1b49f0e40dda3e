/**
 * Converting an image: other compression of its layers, other media types, fewer platforms.
 *
 * @module
 */
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { Image, ImageStore } from "@ctrd/core/images";
import type { LeaseManager } from "@ctrd/core/leases";
import type { Labels } from "@ctrd/core/records";
import type { ProgressListener } from "@ctrd/core/remotes";
import type { PlatformMatcher } from "../platforms.ts";
import { storeImage, withTemporaryLease } from "../pull.ts";
import { DocumentConverter } from "./documents.ts";
import type { LayerFormat } from "./jobs.ts";
import { LayerConverter } from "./layers.ts";

/** The stores that an image is converted in. */
export interface ConvertStores {
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly leases: LeaseManager;
}

/** Options of {@link convertImage}. */
export interface ConvertOptions {
  /** What layers become; they stay as they are when absent. Layers that are that already stay in any case. */
  readonly layers?: LayerFormat;
  /** Of the compression: 0–9 for gzip and eStargz, 1–22 for zstd. */
  readonly level?: number;
  /** eStargz: paths of files that are fetched before a container starts; layers without them have none. */
  readonly prefetch?: readonly string[];
  /** Docker's media types become OCI's. zstd layers always make it so: Docker has no type for them. */
  readonly oci?: boolean;
  /** Which manifests of indexes; all when absent. */
  readonly platform?: PlatformMatcher;
  /** Labels of the new image. */
  readonly labels?: Labels;
  /** Told of each layer: `converting`, then `complete`. */
  readonly progress?: ProgressListener;
}

const levels: Readonly<Record<LayerFormat, readonly [least: number, most: number] | undefined>> = {
  uncompressed: undefined,
  gzip: [0, 9],
  estargz: [0, 9],
  zstd: [1, 22],
};

/**
 * Converts the image `from` and names the result `to`, which may be the same name. Whatever is not an image for a
 * platform (attestations, artifacts) stays as it is. The same input has the same output.
 *
 * @throws ContainerdError `not-found` when the image or its content is not there; `invalid-argument` for a level that
 * the compression does not have, and for malformed images; `data-loss` when a layer is not what the configuration says
 */
export async function convertImage(
  ctx: CallContext,
  stores: ConvertStores,
  from: string,
  to: string,
  options: ConvertOptions,
): Promise<Image> {
  checkOptions(options);
  const { layers: format, level, prefetch, progress, platform, labels = new Map<string, string>() } = options;
  const { content } = stores;
  return withTemporaryLease(ctx, stores.leases, async (leased) => {
    const source = await stores.images.get(leased, from);
    if (source.target === undefined) throw failedPrecondition(`convert image "${from}": it points at nothing`);
    await using layers =
      format === undefined
        ? undefined
        : new LayerConverter(content, {
            format,
            ...(level === undefined ? {} : { level }),
            ...(prefetch === undefined ? {} : { prefetch }),
            ...(progress === undefined ? {} : { progress }),
          });
    const oci = options.oci === true || format === "zstd";
    const documents = new DocumentConverter({ content, layers, oci, platform });
    const { mediaType, digest, size, annotations } = await documents.convert(leased, source.target);
    const target = { mediaType, digest, size, annotations: new Map(annotations) };
    return await storeImage(leased, stores.images, to, target, labels);
  });
}

function checkOptions({ layers, level, prefetch = [] }: ConvertOptions): void {
  if (prefetch.length > 0 && layers !== "estargz") throw invalidArgument("convert: only eStargz has files to prefetch");
  if (level === undefined) return;
  const range = layers === undefined ? undefined : levels[layers];
  if (range === undefined) throw invalidArgument(`convert: without compression there is no level`);
  const [least, most] = range;
  if (Number.isInteger(level) && level >= least && level <= most) return;
  throw invalidArgument(`convert: level ${level} is not one of ${layers}'s, ${least} to ${most}`);
}
