/**
 * Images in a daemon.
 *
 * @module
 */
import type { ContentProvider } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, isKind, notFound } from "@ctrd/core/errors";
import type { Image as ImageRecord } from "@ctrd/core/images";
import type { Descriptor } from "@ctrd/core/records";
import type { ProgressListener } from "@ctrd/core/remotes";
import type { ImageRootfs, Manifest, PlatformMatcher } from "@ctrd/images";
import {
  chainIds,
  childrenOf,
  dispatch,
  filterPlatforms,
  parseImageDocument,
  readDocument,
  readRootfs,
  unpackImage,
} from "@ctrd/images";
import type { ImageConfig } from "@ctrd/oci";
import { parseImageConfig } from "@ctrd/oci";
import type { Client } from "./client.ts";
import { reported } from "./errors.ts";
import type { Abortable, LabelValues, PlatformChoice } from "./options.ts";
import { labelsOf } from "./options.ts";

/** For which platform something is asked; the client's own when absent. */
export interface ForPlatform extends Abortable {
  readonly platform?: PlatformChoice;
}

/** Options of {@link Image.unpack}. */
export interface UnpackImageOptions extends ForPlatform {
  /** The namespace's default when absent. */
  readonly snapshotter?: string;
  readonly progress?: ProgressListener;
}

/** Options of {@link Image.usage}. */
export interface ImageUsageOptions extends Abortable {
  /** Of which platforms; all whose content is there when absent. */
  readonly platform?: PlatformChoice;
  /** Adds what the snapshots of this snapshotter use. */
  readonly snapshotter?: string;
}

/** An image: a name and what it points at. */
export class Image {
  readonly #client: Client;
  #record: ImageRecord;

  /** @internal */
  constructor(client: Client, record: ImageRecord) {
    this.#client = client;
    this.#record = record;
  }

  get name(): string {
    return this.#record.name;
  }

  get labels(): ReadonlyMap<string, string> {
    return this.#record.labels;
  }

  /** The record as it was last read. */
  get record(): Readonly<ImageRecord> {
    return this.#record;
  }

  /** What the name points at: a manifest or an index. */
  get target(): Descriptor {
    if (this.#record.target === undefined) throw failedPrecondition(`image "${this.name}" points at nothing`);
    return this.#record.target;
  }

  /** The manifest for a platform. @throws ContainerdError `not-found` when there is none */
  async manifest(options: ForPlatform = {}): Promise<Manifest> {
    const { ctx, content, matcher } = this.#reading(options);
    return reported(`image "${this.name}"`, ctx.signal, () => findManifest(ctx, content, this.target, matcher));
  }

  /** How it says that it is run. */
  async config(options: ForPlatform = {}): Promise<ImageConfig> {
    const { config } = await this.manifest(options);
    return parseImageConfig(await readDocument(this.#client.context(options), this.#client.content, config));
  }

  /** Platform and digests of the uncompressed layers. */
  async rootfs(options: ForPlatform = {}): Promise<ImageRootfs> {
    const { config } = await this.manifest(options);
    return readRootfs(this.#client.context(options), this.#client.content, config);
  }

  /** Name of the snapshot of its file system once it is unpacked; empty for an image without layers. */
  async chainId(options: ForPlatform = {}): Promise<string> {
    return chainIds((await this.rootfs(options)).diffIds).at(-1) ?? "";
  }

  async isUnpacked(options: Omit<UnpackImageOptions, "progress"> = {}): Promise<boolean> {
    const name = options.snapshotter ?? (await this.#client.defaultSnapshotter(options));
    const chainId = await this.chainId(options);
    if (chainId === "") return true;
    try {
      await this.#client.snapshotter(name).stat(this.#client.context(options), chainId);
      return true;
    } catch (error) {
      if (isKind(error, "not-found")) return false;
      throw error;
    }
  }

  /**
   * Unpacks its layers; those that are unpacked are left alone.
   *
   * @returns the chain id
   */
  async unpack(options: UnpackImageOptions = {}): Promise<string> {
    const name = options.snapshotter ?? (await this.#client.defaultSnapshotter(options));
    const { progress } = options;
    return this.#client.withLease(async (client) => {
      const ctx = client.context(options);
      return reported(`unpack image "${this.name}"`, ctx.signal, () =>
        unpackImage(ctx, this.target, client.platformMatcher(options.platform), {
          content: client.content,
          applier: client.services.diffService,
          snapshotter: client.snapshotter(name),
          snapshotterName: name,
          ...(progress === undefined ? {} : { progress }),
        }),
      );
    }, options);
  }

  /** Bytes of its content that are in the store, and of its snapshots when a snapshotter is named. */
  async usage(options: ImageUsageOptions = {}): Promise<bigint> {
    const { ctx, content } = this.#reading(options);
    const matcher = options.platform === undefined ? undefined : this.#client.platformMatcher(options.platform);
    const children = childrenOf(content);
    const handler = matcher === undefined ? children : filterPlatforms(children, matcher);
    let bytes = 0n;
    await dispatch(
      ctx,
      async (inner, descriptor) => {
        try {
          const { size } = await content.info(inner, descriptor.digest);
          bytes += size;
        } catch (error) {
          if (isKind(error, "not-found")) return [];
          throw error;
        }
        return handler(inner, descriptor);
      },
      [this.target],
    );
    if (options.snapshotter !== undefined) bytes += await this.#snapshotUsage(options.snapshotter, options);
    return bytes;
  }

  async #snapshotUsage(name: string, options: ForPlatform): Promise<bigint> {
    const ctx = this.#client.context(options);
    const snapshotter = this.#client.snapshotter(name);
    let bytes = 0n;
    for (const chainId of chainIds((await this.rootfs(options)).diffIds)) {
      try {
        const { size } = await snapshotter.usage(ctx, chainId);
        bytes += size;
      } catch (error) {
        if (!isKind(error, "not-found")) throw error;
      }
    }
    return bytes;
  }

  /** Sets labels; others stay. An empty value removes one. */
  async setLabels(labels: LabelValues, options: Abortable = {}): Promise<void> {
    const values = labelsOf(labels);
    const mask = [...values.keys()].map((key) => `labels.${key}`);
    const ctx = this.#client.context(options);
    this.#record = await this.#client.images.update(ctx, { ...this.#record, labels: values }, mask);
  }

  /** Gives what it points at another name as well. An image of that name then points at it. */
  tag(name: string, options: Abortable & { readonly labels?: LabelValues } = {}): Promise<Image> {
    return this.#client.createImage(name, this.target, options);
  }

  /** Removes the name. `sync`: returns once what only this name kept is gone. */
  async delete(options: Abortable & { readonly sync?: boolean } = {}): Promise<void> {
    await this.#client.images.delete(this.#client.context(options), this.name, { sync: options.sync ?? false });
  }

  #reading(options: ForPlatform): {
    ctx: CallContext;
    content: ContentProvider & Client["content"];
    matcher: PlatformMatcher;
  } {
    return {
      ctx: this.#client.context(options),
      content: this.#client.content,
      matcher: this.#client.platformMatcher(options.platform),
    };
  }
}

/** The best manifest for a platform below a descriptor. */
async function findManifest(
  ctx: CallContext,
  content: ContentProvider,
  target: Descriptor,
  matcher: PlatformMatcher,
): Promise<Manifest> {
  const document = parseImageDocument(await readDocument(ctx, content, target), target);
  if (document.kind === "manifest") return document;
  const index = filterPlatforms(async () => document.manifests, matcher);
  // The best may not have been pulled: an index of a registry lists more than the store has.
  for (const descriptor of await index(ctx, target)) {
    try {
      return await findManifest(ctx, content, descriptor, matcher);
    } catch (error) {
      if (!isKind(error, "not-found")) throw error;
    }
  }
  throw notFound(`manifest of ${target.digest} for this platform`);
}
