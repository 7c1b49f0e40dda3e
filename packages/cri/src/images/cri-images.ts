/**
 * The image side of CRI: pulls, and what is known of the images of the namespace.
 *
 * @module
 */
import type { AuthConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { Client } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { internal, invalidArgument, isKind } from "@ctrd/core/errors";
import type { Image as ImageRecord } from "@ctrd/core/images";
import type { PullTracker } from "@ctrd/core/pulls";
import { completeReference, parseReference } from "@ctrd/core/references";
import type { ProgressListener } from "@ctrd/core/remotes";
import { storeImage } from "@ctrd/images";
import { millisOf } from "../config/fields.ts";
import type { ImagesConfig } from "../config/images-config.ts";
import { unlessGone } from "../store/unless-gone.ts";
import type { CriImage } from "./cri-image.ts";
import { discardLayers } from "./discard-layers.ts";
import { readImage } from "./image-reader.ts";
import { ImageStore } from "./image-store.ts";
import { watchPull } from "./pull-watch.ts";
import { openResolver } from "./resolver.ts";
import { annotateLayers } from "./snapshot-annotations.ts";
import type { SnapshotUsages } from "./snapshot-usages.ts";

const managedLabel = "io.cri-containerd.image";
const pinnedLabel = "io.cri-containerd.pinned";

/** What a pull needs to know beside the name. */
export interface PullSettings {
  readonly auth?: AuthConfig | undefined;
  /** Handler of the pod that is to run it. */
  readonly runtimeHandler?: string;
}

/** Images of the namespace. */
export class CriImages {
  readonly config: ImagesConfig;
  readonly usages: SnapshotUsages;
  readonly #client: Client;
  readonly #pulls: PullTracker | undefined;
  readonly #store = new ImageStore();
  readonly #handlerSnapshotters = new Map<string, string>();

  /** @param pulls follows pulls, where the daemon has somebody who does */
  constructor(client: Client, config: ImagesConfig, usages: SnapshotUsages, pulls?: PullTracker) {
    [this.#client, this.#pulls] = [client, pulls];
    this.config = config;
    this.usages = usages;
    for (const [handler, { snapshotter }] of Object.entries(config.runtime_platforms)) {
      if (snapshotter !== "") this.#handlerSnapshotters.set(handler, snapshotter);
    }
  }

  /** Lets images of a handler's pods be unpacked elsewhere, unless `runtime_platforms` says so already. */
  setSnapshotter(handler: string, snapshotter: string): void {
    if (!this.#handlerSnapshotters.has(handler)) this.#handlerSnapshotters.set(handler, snapshotter);
  }

  /** Where images of a handler's pods are unpacked. */
  snapshotterOf(handler: string): string {
    return this.#handlerSnapshotters.get(handler) ?? this.config.snapshotter;
  }

  /** Reads all records. */
  async load(ctx: CallContext): Promise<void> {
    for (const record of await this.#client.images.list(ctx, [])) await this.#note(ctx, record);
  }

  /** Takes notice of a record that was made, changed or removed by whomever. */
  async refresh(ctx: CallContext, name: string): Promise<void> {
    try {
      await this.#note(ctx, await this.#client.images.get(ctx, name));
    } catch (error) {
      if (!isKind(error, "not-found")) throw error;
      this.#store.delete(name);
    }
  }

  list(): CriImage[] {
    return this.#store.list();
  }

  /** By id, beginning of an id, tag or digest. @throws ContainerdError `invalid-argument` when several fit */
  find(wanted: string): CriImage | undefined {
    return this.#store.find(wanted);
  }

  /** The image, pulled when it is not there. */
  async ensure(ctx: CallContext, reference: string, settings: PullSettings): Promise<CriImage> {
    return this.find(reference) ?? this.pull(ctx, reference, settings);
  }

  /** Pulls and unpacks an image, and names it by id, tag and digest. */
  async pull(ctx: CallContext, wanted: string, settings: PullSettings = {}): Promise<CriImage> {
    if (wanted === "") throw invalidArgument("pull image: its name is empty");
    const reference = completeReference(wanted);
    if (this.#pulls === undefined) return this.#pull(ctx, reference, wanted, settings);
    const snapshotter = this.snapshotterOf(settings.runtimeHandler ?? "");
    return this.#pulls.follow(ctx, { reference, client: "cri", snapshotter }, (followed) =>
      this.#pull(ctx, reference, wanted, settings, followed),
    );
  }

  async #pull(
    ctx: CallContext,
    reference: string,
    wanted: string,
    settings: PullSettings,
    followed?: ProgressListener,
  ): Promise<CriImage> {
    const { config } = this;
    using watch = watchPull(reference, millisOf(config.image_pull_progress_timeout, 0), followed);
    const labels = this.#labelsOf(reference, wanted);
    const pulled = await this.#client.pull(reference, {
      signal: AbortSignal.any([ctx.signal, watch.signal]),
      operation: ctx.operation,
      resolver: await openResolver(config, settings.auth, ctx.log),
      snapshotter: this.snapshotterOf(settings.runtimeHandler ?? ""),
      labels,
      maxConcurrentDownloads: config.max_concurrent_downloads,
      progress: watch.progress,
      ...(config.disable_snapshot_annotations ? {} : { imageHandlerWrapper: annotateLayers(reference) }),
    });
    const image = await this.#name(ctx, pulled.record, labels);
    if (config.discard_unpacked_layers) await discardLayers(ctx, this.#client.content, pulled.target);
    return image;
  }

  /** Removes every name of an image; what nothing else keeps is collected. An unknown image is no error. */
  async remove(ctx: CallContext, wanted: string): Promise<void> {
    const image = this.find(wanted);
    if (image === undefined) return;
    for (const [index, name] of image.references.entries()) {
      // The last one waits for the collection.
      const sync = index === image.references.length - 1;
      await unlessGone(this.#client.images.delete(ctx, name, { sync }));
      this.#store.delete(name);
    }
  }

  /** The records of a pulled image: its id, and its name with tag and with digest. */
  async #name(ctx: CallContext, record: ImageRecord, labels: Map<string, string>): Promise<CriImage> {
    const { target } = record;
    const read = target === undefined ? undefined : await readImage(this.#client, ctx, record);
    if (target === undefined || read === undefined) {
      throw internal(`image ${record.name}: its content was removed while it was pulled; pull it again`);
    }
    const { host, repository, digest } = parseReference(record.name);
    const canonical = digest === "" ? `${host}/${repository}@${target.digest}` : record.name;
    const pinned = labels.has(pinnedLabel);
    const names = [...new Set([read.id, record.name, canonical])];
    const added = names.filter((name) => name !== record.name);
    // At once: they share one wait for the disk.
    await Promise.all(added.map((name) => storeImage(ctx, this.#client.images, name, target, labels)));
    for (const name of names) this.#store.set(name, read, pinned);
    const image = this.find(read.id);
    if (image === undefined) throw internal(`image ${record.name}: it was removed while it was pulled; pull it again`);
    return image;
  }

  #labelsOf(...names: string[]): Map<string, string> {
    const pinned = Object.values(this.config.pinned_images).some((name) => names.includes(name));
    return new Map([[managedLabel, "managed"], ...(pinned ? [[pinnedLabel, "pinned"] as const] : [])]);
  }

  async #note(ctx: CallContext, record: ImageRecord): Promise<void> {
    const pinned = record.labels.get(pinnedLabel) === "pinned";
    const known = this.#store.byName(record.name);
    if (known !== undefined && known.target === record.target?.digest) {
      this.#store.set(record.name, known, pinned);
      return;
    }
    const read = await readImage(this.#client, ctx, record);
    if (read === undefined || record.target === undefined) return;
    this.#store.set(record.name, read, pinned);
    if (record.labels.has(managedLabel)) return;
    // Somebody else's image: it is managed from now on, and can be found by its id.
    const labels = this.#labelsOf(record.name);
    await storeImage(ctx, this.#client.images, record.name, record.target, labels);
    if (record.name === read.id) return;
    await storeImage(ctx, this.#client.images, read.id, record.target, labels);
    this.#store.set(read.id, read, pinned);
  }
}
