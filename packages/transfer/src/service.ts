/**
 * The transfer service: looks at source and destination, and does what lies between them.
 *
 * @module
 */
import { ImageExportStream, ImageImportStream } from "@ctrd/api/types/transfer/importexport";
import { ImageStore as ImageStoreMessage } from "@ctrd/api/types/transfer/imagestore";
import { OCIRegistry } from "@ctrd/api/types/transfer/registry";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, invalidArgument, notImplemented } from "@ctrd/core/errors";
import type { Image } from "@ctrd/core/images";
import { hostPlatform } from "@ctrd/core/platforms";
import type { Any, Descriptor } from "@ctrd/core/records";
import type { Resolver } from "@ctrd/core/remotes";
import type { StreamManager } from "@ctrd/core/streaming";
import type { TransferOptions, TransferService } from "@ctrd/core/transfer";
import { typeName } from "@ctrd/core/typeurl";
import type { PlatformMatcher, PullStores } from "@ctrd/images";
import { matchPlatform, matchPlatforms, pullImage, pushContent, storeImage, withTemporaryLease } from "@ctrd/images";
import { exportImages, importImages } from "./archives.ts";
import { ProgressReporter } from "./progress.ts";
import { resolverFor } from "./remotes.ts";

/** What the transfer service works with. */
export interface TransferParts extends PullStores {
  streams: StreamManager;
  /** Roots of `hosts.toml` directories when a client names none. */
  hostsDirectories: readonly string[];
  maxConcurrentDownloads: number;
  maxConcurrentUploads: number;
  /** For clients that name none. */
  defaultSnapshotter: string;
}

/** Makes the transfer service. */
export function createTransferService(parts: TransferParts): TransferService {
  return new LocalTransfer(parts);
}

const prefix = "containerd.types.transfer.";

class LocalTransfer implements TransferService {
  readonly #parts: TransferParts;

  constructor(parts: TransferParts) {
    this.#parts = parts;
  }

  async transfer(ctx: CallContext, source: Any, destination: Any, options: TransferOptions = {}): Promise<void> {
    const { progressStream = "" } = options;
    const stream = progressStream === "" ? undefined : this.#parts.streams.get(ctx, progressStream);
    const progress = new ProgressReporter(ctx, stream);
    try {
      await this.#transfer(ctx, source, destination, progress);
    } finally {
      await progress.end();
    }
  }

  #transfer(ctx: CallContext, source: Any, destination: Any, progress: ProgressReporter): Promise<void> {
    const [from, to] = [typeName(source.typeUrl), typeName(destination.typeUrl)];
    switch (`${from} ${to}`) {
      case `${prefix}OCIRegistry ${prefix}ImageStore`:
        return this.#pull(ctx, OCIRegistry.decode(source.value), ImageStoreMessage.decode(destination.value), progress);
      case `${prefix}ImageStore ${prefix}OCIRegistry`:
        return this.#push(ctx, ImageStoreMessage.decode(source.value), OCIRegistry.decode(destination.value), progress);
      case `${prefix}ImageImportStream ${prefix}ImageStore`:
        return importImages(
          ctx,
          this.#parts,
          ImageImportStream.decode(source.value),
          ImageStoreMessage.decode(destination.value),
          progress,
        );
      case `${prefix}ImageStore ${prefix}ImageExportStream`:
        return exportImages(
          ctx,
          this.#parts,
          ImageStoreMessage.decode(source.value),
          ImageExportStream.decode(destination.value),
          progress,
        );
      case `${prefix}ImageStore ${prefix}ImageStore`:
        return this.#tag(ctx, ImageStoreMessage.decode(source.value), ImageStoreMessage.decode(destination.value));
      default:
        throw notImplemented(`transfer from ${from} to ${to}`);
    }
  }

  async #pull(
    ctx: CallContext,
    registry: OCIRegistry,
    store: ImageStoreMessage,
    progress: ProgressReporter,
  ): Promise<void> {
    const { reference } = registry;
    const where = `OCI Registry (${reference})`;
    const resolver = await resolverFor(ctx, registry, this.#parts.streams, this.#parts.hostsDirectories);
    const unpack = this.#unpackOf(store);
    progress.say(`Resolving from ${where}`);
    await withTemporaryLease(ctx, this.#parts.leases, async (leased) => {
      const { target } = await pullImage(leased, this.#parts, reference, {
        resolver: {
          ...bound(resolver),
          resolve: async (inner, text) => {
            const resolved = await resolver.resolve(inner, text);
            progress.say(`Pulling from ${where}`);
            progress.say("fetching image content", resolved.name, resolved.target);
            return { ...resolved, name: store.name === "" ? resolved.name : store.name };
          },
        },
        labels: store.labels,
        platform: platformsOf(store),
        manifestLimit: store.manifestLimit,
        maxConcurrentDownloads: this.#parts.maxConcurrentDownloads,
        imageHandlerWrapper: progress.wrapper(reference),
        progress: progress.listener,
        ...(unpack === undefined ? {} : { unpack }),
      });
      if (target !== undefined) await this.#nameMore(leased, store, target, progress);
    });
    progress.say(`Completed pull from ${where}`);
  }

  /** Further names, which live as long as the main one. */
  async #nameMore(
    ctx: CallContext,
    store: ImageStoreMessage,
    target: Descriptor,
    progress: ProgressReporter,
  ): Promise<void> {
    for (const { name, isPrefix } of store.extraReferences) {
      if (isPrefix || name === "" || name === store.name) continue;
      const labels = new Map(store.labels);
      if (store.name !== "") {
        labels.set("containerd.io/gc.bref.image", store.name);
        labels.set("containerd.io/gc.expire", new Date().toISOString());
      }
      await storeImage(ctx, this.#parts.images, name, target, labels);
      progress.say("saved", name, target);
    }
  }

  #unpackOf(store: ImageStoreMessage): { snapshotter: string } | undefined {
    const [first, ...more] = store.unpacks;
    if (more.length > 0) throw notImplemented("transfer: unpacking into more than one snapshotter");
    if (first === undefined) return undefined;
    return { snapshotter: first.snapshotter === "" ? this.#parts.defaultSnapshotter : first.snapshotter };
  }

  async #push(
    ctx: CallContext,
    store: ImageStoreMessage,
    registry: OCIRegistry,
    progress: ProgressReporter,
  ): Promise<void> {
    const where = `OCI Registry (${registry.reference})`;
    const { content } = this.#parts;
    const { name, target } = await this.#image(ctx, store.name);
    const resolver = await resolverFor(ctx, registry, this.#parts.streams, this.#parts.hostsDirectories);
    progress.say(`Pushing to ${where}`);
    progress.say("pushing content", name, target);
    await pushContent(ctx, target, {
      content,
      pusher: await resolver.pusher(ctx, registry.reference),
      maxConcurrentUploads: this.#parts.maxConcurrentUploads,
      imageHandlerWrapper: progress.wrapper(name),
      progress: progress.listener,
      ...(store.platforms.length === 0 ? {} : { platform: matchPlatforms(store.platforms) }),
    });
    progress.say("pushed content", name, target);
    progress.say(`Completed push to ${where}`, "", target);
  }

  async #tag(ctx: CallContext, source: ImageStoreMessage, destination: ImageStoreMessage): Promise<void> {
    const { target } = await this.#image(ctx, source.name);
    const names = [destination.name, ...destination.extraReferences.map(({ name }) => name)];
    const wanted = names.filter((name) => name !== "");
    if (wanted.length === 0) throw invalidArgument(`tag "${source.name}": no name to give it`);
    for (const name of wanted) await storeImage(ctx, this.#parts.images, name, target, destination.labels);
  }

  async #image(ctx: CallContext, name: string): Promise<Image & { target: Descriptor }> {
    const image = await this.#parts.images.get(ctx, name);
    if (image.target === undefined) throw failedPrecondition(`image "${name}" points at nothing`);
    return { ...image, target: image.target };
  }
}

function platformsOf(store: ImageStoreMessage): PlatformMatcher {
  return store.platforms.length === 0 ? matchPlatform(hostPlatform()) : matchPlatforms(store.platforms);
}

/** The methods of a resolver as values. */
function bound(resolver: Resolver): Resolver {
  return {
    resolve: (ctx, reference) => resolver.resolve(ctx, reference),
    fetcher: (ctx, reference) => resolver.fetcher(ctx, reference),
    pusher: (ctx, reference) => resolver.pusher(ctx, reference),
  };
}
