/**
 * Converting layers in a content store. A layer that several images share is converted once.
 *
 * @module
 */
import type { ContentReader, ContentStore, ContentWriter } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { dataLoss, failedPrecondition, isKind, messageOf } from "@ctrd/core/errors";
import type { Labels } from "@ctrd/core/records";
import type { ProgressListener, TransferStage } from "@ctrd/core/remotes";
import type { ImageDescriptor } from "../descriptors.ts";
import { tocDigestAnnotation, uncompressedSizeAnnotation } from "../estargz/toc.ts";
import { abortIngest, contentName, openIngest } from "../fetch.ts";
import { addLabels } from "../handlers.ts";
import type { ConvertedLayer, ConvertJob, LayerFormat } from "./jobs.ts";
import { compressionOf, isConvertible, layerTypeFor } from "./layer-types.ts";
import { ConvertWorkers } from "./workers.ts";

/** How layers are converted. */
export interface LayerOptions {
  readonly format: LayerFormat;
  readonly level?: number;
  readonly prefetch?: readonly string[];
  readonly progress?: ProgressListener;
}

/** A layer after conversion. */
export interface NewLayer {
  readonly descriptor: ImageDescriptor;
  readonly diffId: string;
}

const uncompressedLabel = "containerd.io/uncompressed";
/** Annotations that speak of the bytes of a layer as they were. */
const formatAnnotations =
  /^(?:containerd\.io\/snapshot\/stargz\/|io\.containers\.estargz\.|io\.github\.containers\.zstd-chunked\.|io\.containers\.zstd-chunked\.)/;

/** Converts layers. Disposing ends its worker threads. */
export class LayerConverter implements AsyncDisposable {
  readonly #content: ContentStore;
  readonly #options: LayerOptions;
  readonly #workers: ConvertWorkers = new ConvertWorkers();
  readonly #known: Map<string, Promise<NewLayer>> = new Map();

  constructor(content: ContentStore, options: LayerOptions) {
    this.#content = content;
    this.#options = options;
  }

  /**
   * Converts a layer, unless it is in this format or cannot be converted.
   *
   * @param diffId what the image's configuration says of it
   * @throws ContainerdError `data-loss` when it is not that
   */
  convert(ctx: CallContext, layer: ImageDescriptor, diffId: string): Promise<NewLayer> {
    const key = `${layer.digest} ${layer.mediaType} ${diffId}`;
    const known = this.#known.get(key) ?? this.#convert(ctx, layer, diffId);
    this.#known.set(key, known);
    return known;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#workers[Symbol.asyncDispose]();
  }

  async #convert(ctx: CallContext, layer: ImageDescriptor, diffId: string): Promise<NewLayer> {
    if (!isConvertible(layer.mediaType) || this.#isDone(layer)) return { descriptor: layer, diffId };
    const report = (stage: TransferStage, more: object = {}): void =>
      this.#options.progress?.({ stage, name: contentName(layer), descriptor: layer, ...more });
    try {
      const converted = await this.#store(ctx, layer, diffId, report);
      report("complete", { offset: layer.size, total: layer.size });
      return converted;
    } catch (error) {
      report("failed", { error: messageOf(error) });
      throw error;
    }
  }

  #isDone({ mediaType, annotations }: ImageDescriptor): boolean {
    const { format } = this.#options;
    if (format === "estargz") return annotations.has(tocDigestAnnotation) && compressionOf(mediaType) === "gzip";
    return compressionOf(mediaType) === format;
  }

  async #store(
    ctx: CallContext,
    layer: ImageDescriptor,
    diffId: string,
    report: (stage: TransferStage, more?: object) => void,
  ): Promise<NewLayer> {
    const { format, level, prefetch = [] } = this.#options;
    const reader = await this.#content.reader(ctx, layer.digest);
    try {
      const ref = `convert-${format}-${level ?? "default"}-${layer.digest}`;
      const writer = await openIngest(ctx, this.#content, { ref }, () => report("waiting"));
      if (writer === undefined) throw failedPrecondition(`convert: ${ref} is there without having been written`);
      const job: ConvertJob = {
        format,
        ...(level === undefined ? {} : { level }),
        size: Number(reader.size),
        ...(reader.path === undefined ? {} : { path: reader.path }),
        prefetch,
      };
      const progress = (offset: number): void => report("converting", { offset: BigInt(offset), total: layer.size });
      return await this.#write(ctx, layer, diffId, { job, reader, writer, ref, progress });
    } finally {
      await reader.close();
    }
  }

  async #write(ctx: CallContext, layer: ImageDescriptor, diffId: string, work: Work): Promise<NewLayer> {
    const { writer, reader, job, progress } = work;
    let size = 0n;
    let isOpen = true;
    try {
      await writer.truncate(0n);
      const write = async (chunk: Uint8Array): Promise<void> => {
        await writer.write(chunk);
        size += BigInt(chunk.length);
      };
      const result = await this.#workers.run(job, { signal: ctx.signal, reader, write, progress });
      if (result.sourceDiffId !== diffId) {
        throw dataLoss(
          `convert layer ${layer.digest}: it uncompresses to ${result.sourceDiffId}, its configuration says ${diffId}`,
        );
      }
      const digest = await writer.digest();
      isOpen = false;
      await this.#commit(ctx, writer, digest, size, labelsOf(job.format, result));
      return { descriptor: descriptorOf(layer, job.format, { digest, size }, result), diffId: result.diffId };
    } catch (error) {
      if (isOpen) await writer.close();
      await abortIngest(ctx, this.#content, work.ref);
      throw error;
    }
  }

  async #commit(
    ctx: CallContext,
    writer: ContentWriter,
    expected: string,
    size: bigint,
    labels: Labels,
  ): Promise<void> {
    try {
      await writer.commit(ctx, { size, expected, labels });
    } catch (error) {
      if (!isKind(error, "already-exists")) throw error;
      await addLabels(ctx, this.#content, expected, labels);
    }
  }
}

interface Work {
  readonly job: ConvertJob;
  readonly reader: ContentReader;
  readonly writer: ContentWriter;
  readonly ref: string;
  progress(offset: number): void;
}

function labelsOf(format: LayerFormat, { diffId }: ConvertedLayer): Labels {
  return format === "uncompressed" ? new Map() : new Map([[uncompressedLabel, diffId]]);
}

function descriptorOf(
  layer: ImageDescriptor,
  format: LayerFormat,
  blob: { digest: string; size: bigint },
  { tocDigest, uncompressedSize }: ConvertedLayer,
): ImageDescriptor {
  const annotations = new Map([...layer.annotations].filter(([key]) => !formatAnnotations.test(key)));
  if (tocDigest !== undefined) {
    annotations.set(tocDigestAnnotation, tocDigest);
    annotations.set(uncompressedSizeAnnotation, String(uncompressedSize));
  }
  return { mediaType: layerTypeFor(layer.mediaType, format), ...blob, annotations };
}
