/**
 * Unpacking that overlaps with fetching, and fetches only the layers that the snapshotter does not have.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import type { ImageDescriptor } from "./descriptors.ts";
import { readRootfs } from "./documents.ts";
import { contentName } from "./fetch.ts";
import type { ImageHandler } from "./handlers.ts";
import { isConfigType, isLayerType, isManifestType } from "./media-types.ts";
import type { PlatformMatcher } from "./platforms.ts";
import { Together } from "./together.ts";
import type { Turns } from "./turns.ts";
import type { UnpackOptions } from "./unpack.ts";
import { unpackLayers } from "./unpack.ts";

/** Unpacks manifests that pass through its handler, each once its configuration is there. */
export class UnpackWhileFetching {
  readonly #handler: ImageHandler;
  readonly #turns: Turns;
  readonly #options: UnpackOptions;
  readonly #platform: PlatformMatcher;
  /** Layers that wait for their configuration, by its digest; manifests may share one. */
  readonly #held: Map<string, (readonly ImageDescriptor[])[]> = new Map();
  /** Configurations that are there. */
  readonly #ready: Set<string> = new Set();
  readonly #unpacks: Promise<void>[] = [];

  /**
   * @param turns shared with whoever runs the handler
   * @param platform which manifests of an index; the layers of others are only fetched
   */
  constructor(handler: ImageHandler, turns: Turns, platform: PlatformMatcher, options: UnpackOptions) {
    this.#handler = handler;
    this.#turns = turns;
    this.#platform = platform;
    this.#options = options;
  }

  /** To be dispatched in place of the handler: layers that are unpacked do not come out of it. */
  readonly handler: ImageHandler = async (ctx, descriptor) => {
    const children = await this.#handler(ctx, descriptor);
    if (isConfigType(descriptor.mediaType)) {
      this.#ready.add(descriptor.digest);
      for (const layers of this.#held.get(descriptor.digest) ?? []) this.#start(ctx, descriptor, layers);
      this.#held.delete(descriptor.digest);
    }
    const { mediaType, platform } = descriptor;
    if (!isManifestType(mediaType) || (platform !== undefined && !this.#platform.matches(platform))) return children;
    const config = children.find((child) => isConfigType(child.mediaType));
    const layers = children.filter((child) => isLayerType(child.mediaType));
    // Something else than a container image, such as a chart: only fetched.
    if (config === undefined || layers.length === 0) return children;
    if (this.#ready.has(config.digest)) this.#start(ctx, config, layers);
    else this.#held.set(config.digest, [...(this.#held.get(config.digest) ?? []), layers]);
    return children.filter((child) => !isLayerType(child.mediaType));
  };

  /** Resolves when all is unpacked. To be called when the dispatch has ended. */
  async done(): Promise<void> {
    const results = await Promise.allSettled(this.#unpacks);
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  #start(ctx: CallContext, config: ImageDescriptor, layers: readonly ImageDescriptor[]): void {
    const unpack = this.#unpack(ctx, config, layers);
    // Awaited in `done`; until then a failure is no unhandled rejection.
    unpack.catch(() => {});
    this.#unpacks.push(unpack);
  }

  async #unpack(outer: CallContext, config: ImageDescriptor, layers: readonly ImageDescriptor[]): Promise<void> {
    const together = new Together(outer);
    const fetching = new Map<string, Promise<void>>();
    const needLayer = async (layer: ImageDescriptor): Promise<void> => {
      if (!fetching.has(layer.digest)) this.#fetchFrom(together, layers, layer, fetching);
      await fetching.get(layer.digest);
      together.ctx.signal.throwIfAborted();
    };
    await together.run(async (ctx) => {
      const { diffIds } = await readRootfs(ctx, this.#options.content, config);
      await unpackLayers(ctx, config, layers, diffIds, { ...this.#options, needLayer });
    });
    // What was begun ends before the pull does.
    await Promise.all(fetching.values());
    together.check();
  }

  /** Fetches this layer and all above it at once: a snapshotter that lacks one lacks, as a rule, those above. */
  #fetchFrom(
    together: Together,
    layers: readonly ImageDescriptor[],
    first: ImageDescriptor,
    fetching: Map<string, Promise<void>>,
  ): void {
    for (const layer of layers.slice(layers.indexOf(first))) {
      if (fetching.has(layer.digest)) continue;
      this.#options.progress?.({ stage: "waiting", name: contentName(layer), descriptor: layer });
      const fetch = together.run(async (ctx) => {
        await this.#turns.run(() => {
          ctx.signal.throwIfAborted();
          return this.#handler(ctx, layer);
        });
      });
      fetching.set(layer.digest, fetch);
    }
  }
}
