/**
 * Unpacking that overlaps with fetching, and fetches only the layers that the snapshotter does not have.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import type { ImageDescriptor } from "./descriptors.ts";
import { readRootfs } from "./documents.ts";
import type { ImageHandler } from "./handlers.ts";
import { isConfigType, isLayerType, isManifestType } from "./media-types.ts";
import type { Turns } from "./turns.ts";
import type { UnpackOptions } from "./unpack.ts";
import { unpackLayers } from "./unpack.ts";

/** Unpacks every manifest that passes through its handler, once its configuration is there. */
export class UnpackWhileFetching {
  readonly #handler: ImageHandler;
  readonly #turns: Turns;
  readonly #options: UnpackOptions;
  /** Layers by the digest of their configuration. */
  readonly #held: Map<string, readonly ImageDescriptor[]> = new Map();
  readonly #unpacks: Promise<void>[] = [];

  /** @param turns shared with whoever runs the handler */
  constructor(handler: ImageHandler, turns: Turns, options: UnpackOptions) {
    this.#handler = handler;
    this.#turns = turns;
    this.#options = options;
  }

  /** To be dispatched in place of the handler: layers of images do not come out of it. */
  readonly handler: ImageHandler = async (ctx, descriptor) => {
    const children = await this.#handler(ctx, descriptor);
    const layers = this.#held.get(descriptor.digest);
    if (layers !== undefined) this.#start(ctx, descriptor, layers);
    if (!isManifestType(descriptor.mediaType)) return children;
    const config = children.find(({ mediaType }) => isConfigType(mediaType));
    const found = children.filter(({ mediaType }) => isLayerType(mediaType));
    // Something else than a container image, such as a chart: only fetched.
    if (config === undefined || found.length === 0) return children;
    this.#held.set(config.digest, found);
    return children.filter(({ mediaType }) => !isLayerType(mediaType));
  };

  /** Resolves when all is unpacked. To be called when the dispatch has ended. */
  async done(): Promise<void> {
    const results = await Promise.allSettled(this.#unpacks);
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  #start(ctx: CallContext, config: ImageDescriptor, layers: readonly ImageDescriptor[]): void {
    this.#held.delete(config.digest);
    const unpack = this.#unpack(ctx, config, layers);
    // Awaited in `done`; until then a failure is no unhandled rejection.
    unpack.catch(() => {});
    this.#unpacks.push(unpack);
  }

  async #unpack(ctx: CallContext, config: ImageDescriptor, layers: readonly ImageDescriptor[]): Promise<void> {
    const { diffIds } = await readRootfs(ctx, this.#options.content, config);
    let fetching: Map<string, Promise<unknown>> | undefined;
    const needLayer = async (layer: ImageDescriptor): Promise<void> => {
      fetching ??= this.#fetchFrom(ctx, layers, layer);
      await fetching.get(layer.digest);
    };
    try {
      await unpackLayers(ctx, config, layers, diffIds, { ...this.#options, needLayer });
    } finally {
      // What was begun ends before the pull does.
      await Promise.allSettled(fetching?.values() ?? []);
    }
  }

  /** Fetches this layer and all above it at once: a snapshotter that lacks one lacks, as a rule, those above. */
  #fetchFrom(
    ctx: CallContext,
    layers: readonly ImageDescriptor[],
    first: ImageDescriptor,
  ): Map<string, Promise<unknown>> {
    const fetching = new Map<string, Promise<unknown>>();
    for (const layer of layers.slice(layers.indexOf(first))) {
      if (fetching.has(layer.digest)) continue;
      const promise = this.#turns.run(() => {
        ctx.signal.throwIfAborted();
        return this.#handler(ctx, layer);
      });
      promise.catch(() => {});
      fetching.set(layer.digest, promise);
    }
    return fetching;
  }
}
