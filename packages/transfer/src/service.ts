/**
 * The transfer service: looks at source and destination, and does what lies between them.
 *
 * @module
 */
import { ImageExportStream, ImageImportStream } from "@ctrd/api/types/transfer/importexport";
import { ImageStore as ImageStoreMessage } from "@ctrd/api/types/transfer/imagestore";
import { OCIRegistry } from "@ctrd/api/types/transfer/registry";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, invalidArgument, messageOf, notFound, notImplemented } from "@ctrd/core/errors";
import type { ImageVerifier } from "@ctrd/core/image-verifier";
import type { Image } from "@ctrd/core/images";
import { hostPlatform } from "@ctrd/core/platforms";
import type { PullTracker } from "@ctrd/core/pulls";
import type { Any, Descriptor } from "@ctrd/core/records";
import type { ProgressListener, Resolver } from "@ctrd/core/remotes";
import type { StreamManager } from "@ctrd/core/streaming";
import type { TransferOptions, TransferService } from "@ctrd/core/transfer";
import { typeName } from "@ctrd/core/typeurl";
import type { PlatformMatcher, PullStores } from "@ctrd/images";
import {
  anyPlatform,
  matchPlatform,
  matchPlatforms,
  pullImage,
  pushContent,
  storeImage,
  unpackImage,
  withTemporaryLease,
} from "@ctrd/images";
import { echo, exportImages, extraLabels, fullNames, importImages } from "./archives.ts";
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
  /** Asked before a pull, by name. */
  verifiers: ReadonlyMap<string, ImageVerifier>;
  /** Follows pulls. */
  pulls?: PullTracker | undefined;
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

  async #transfer(ctx: CallContext, source: Any, destination: Any, progress: ProgressReporter): Promise<void> {
    const [from, to] = [typeName(source.typeUrl), typeName(destination.typeUrl)];
    const store = (any: Any): ImageStoreMessage => decoded(ImageStoreMessage, any);
    switch (`${from} ${to}`) {
      case `${prefix}OCIRegistry ${prefix}ImageStore`:
        return this.#pull(ctx, decoded(OCIRegistry, source), store(destination), progress);
      case `${prefix}ImageStore ${prefix}OCIRegistry`:
        return this.#push(ctx, store(source), decoded(OCIRegistry, destination), progress);
      case `${prefix}ImageImportStream ${prefix}ImageStore`:
        return importImages(ctx, this.#parts, decoded(ImageImportStream, source), store(destination), progress);
      case `${prefix}ImageStore ${prefix}ImageExportStream`:
        return exportImages(ctx, this.#parts, store(source), decoded(ImageExportStream, destination), progress);
      case `${prefix}ImageStore ${prefix}ImageStore`:
        return this.#tag(ctx, store(source), store(destination));
      case `${prefix}ImageImportStream ${prefix}ImageExportStream`:
        return echo(ctx, this.#parts, decoded(ImageImportStream, source), decoded(ImageExportStream, destination));
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
    const { pulls } = this.#parts;
    if (pulls === undefined) return this.#pullFrom(ctx, registry, store, progress, progress.listener);
    const [unpack, ...more] = store.unpacks;
    const snapshotter = unpack === undefined || more.length > 0 ? "" : this.#unpackOf(unpack).snapshotter;
    const start = { reference: registry.reference, client: "transfer", snapshotter };
    return pulls.follow(ctx, start, (followed) => {
      const both: ProgressListener = (told) => {
        followed(told);
        progress.listener(told);
      };
      return this.#pullFrom(ctx, registry, store, progress, both);
    });
  }

  async #pullFrom(
    ctx: CallContext,
    registry: OCIRegistry,
    store: ImageStoreMessage,
    progress: ProgressReporter,
    listener: ProgressListener,
  ): Promise<void> {
    const { reference } = registry;
    const where = `OCI Registry (${reference})`;
    ctx.operation?.concerns({ kind: "image", id: reference });
    const resolver = await resolverFor(ctx, registry, this.#parts.streams, this.#parts.hostsDirectories);
    const [unpack, ...moreUnpacks] = store.unpacks.map((one) => this.#unpackOf(one));
    // Into several snapshotters it is unpacked when all is fetched.
    const overlapped = moreUnpacks.length === 0 ? unpack : undefined;
    progress.say(`Resolving from ${where}`);
    await withTemporaryLease(ctx, this.#parts.leases, async (leased) => {
      let names: string[] = [];
      const { target } = await pullImage(leased, this.#parts, reference, {
        resolver: {
          ...bound(resolver),
          resolve: async (inner, text) => {
            const resolved = await resolver.resolve(inner, text);
            names = [store.name, ...fullNames(store, resolved.target)].filter((name) => name !== "");
            if (names[0] === undefined) throw notFound(`pull ${reference}: no name for the image; give it one`);
            progress.say(`Pulling from ${where}`);
            progress.say("fetching image content", resolved.name, resolved.target);
            return { ...resolved, name: names[0] };
          },
        },
        labels: store.labels,
        platform: platformsOf(store),
        allMetadata: store.allMetadata,
        manifestLimit: store.manifestLimit,
        maxConcurrentDownloads: this.#parts.maxConcurrentDownloads,
        imageHandlerWrapper: progress.wrapper(store.name === "" ? reference : store.name),
        progress: listener,
        verifiers: this.#parts.verifiers,
        ...(overlapped === undefined ? {} : { unpack: overlapped }),
      });
      if (target === undefined) return;
      if (overlapped === undefined && unpack !== undefined) {
        await this.#unpackAll(leased, target, [unpack, ...moreUnpacks], listener);
      }
      for (const name of names.slice(1)) {
        await storeImage(leased, this.#parts.images, name, target, extraLabels(store));
        progress.say("saved", name, target);
      }
    });
    progress.say(`Completed pull from ${where}`);
  }

  #unpackOf({ snapshotter, platform }: ImageStoreMessage["unpacks"][number]): Unpack {
    const name = snapshotter === "" ? this.#parts.defaultSnapshotter : snapshotter;
    return { snapshotter: name, platform: matchPlatform(platform ?? hostPlatform()) };
  }

  async #unpackAll(
    ctx: CallContext,
    target: Descriptor,
    unpacks: readonly Unpack[],
    progress: ProgressListener,
  ): Promise<void> {
    for (const { snapshotter, platform } of unpacks) {
      await unpackImage(ctx, target, platform, {
        content: this.#parts.content,
        applier: this.#parts.applier,
        snapshotter: this.#parts.snapshotters.get(snapshotter),
        snapshotterName: snapshotter,
        progress,
      });
    }
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
    ctx.operation?.concerns({ kind: "image", id: name });
    const resolver = await resolverFor(ctx, registry, this.#parts.streams, this.#parts.hostsDirectories);
    progress.say(`Pushing to ${where}`);
    progress.say("pushing content", name, target);
    // Only what is pushed itself gets the tag.
    const reference = registry.reference.includes("@") ? registry.reference : `${registry.reference}@${target.digest}`;
    await pushContent(ctx, target, {
      content,
      pusher: await resolver.pusher(ctx, reference),
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

interface Unpack {
  snapshotter: string;
  platform: PlatformMatcher;
}

function platformsOf({ platforms }: ImageStoreMessage): PlatformMatcher {
  return platforms.length === 0 ? anyPlatform : matchPlatforms(platforms);
}

function decoded<T>(type: { decode(bytes: Uint8Array): T }, { typeUrl, value }: Any): T {
  try {
    return type.decode(value);
  } catch (error) {
    throw invalidArgument(`transfer: malformed ${typeName(typeUrl)}: ${messageOf(error)}`, { cause: error });
  }
}

/** The methods of a resolver as values. */
function bound(resolver: Resolver): Resolver {
  return {
    resolve: (ctx, reference) => resolver.resolve(ctx, reference),
    fetcher: (ctx, reference) => resolver.fetcher(ctx, reference),
    pusher: (ctx, reference) => resolver.pusher(ctx, reference),
  };
}
