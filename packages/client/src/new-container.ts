/**
 * Making containers.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import { checkIdentifier } from "@ctrd/core/identifiers";
import type { Any } from "@ctrd/core/records";
import { specTypeUrl } from "@ctrd/core/typeurl";
import type { Spec, SpecOption } from "@ctrd/oci";
import { createSpec, encodeSpec, withImageConfig } from "@ctrd/oci";
import type { Client } from "./client.ts";
import type { Container } from "./container.ts";
import { reported, unlessGone } from "./errors.ts";
import { Image } from "./image.ts";
import type { ForPlatform } from "./image.ts";
import type { LabelValues } from "./options.ts";
import { labelsOf } from "./options.ts";
import { withMountedRootfs } from "./rootfs.ts";

/** What a container is made of. */
export interface NewContainerOptions extends ForPlatform {
  /** Image of its root file system; it is unpacked when it is not yet. */
  readonly image?: Image | string;
  /** The namespace's default when absent. */
  readonly snapshotter?: string;
  /** Name of its snapshot; the id when absent. */
  readonly snapshotKey?: string;
  /**
   * `new`, the default with an image: a writable snapshot of the image; `view`: a read-only one; `existing`: the
   * snapshot `snapshotKey` is there; `none`, the default without an image: the spec says where the root file system is.
   */
  readonly snapshot?: "new" | "view" | "existing" | "none";
  /** Labels of the snapshot that is made. */
  readonly snapshotLabels?: LabelValues;
  /** The whole spec. It is made of `specOptions` when absent. */
  readonly spec?: Spec;
  /** Changes to the default spec; by default what the image's configuration says. */
  readonly specOptions?: readonly SpecOption[];
  /** Name of the runtime, or path of a shim; the namespace's default when absent. */
  readonly runtime?: string;
  readonly runtimeOptions?: Any;
  readonly labels?: LabelValues;
  readonly extensions?: ReadonlyMap<string, Any>;
  /** Id of the sandbox that it joins. */
  readonly sandbox?: string;
}

/** Makes a container. When that fails, its snapshot is removed again. */
export async function newContainer(outer: Client, id: string, options: NewContainerOptions): Promise<Container> {
  checkIdentifier("container id", id);
  return outer.withLease(async (client) => {
    const what = `make container "${id}"`;
    return reported(what, client.context(options).signal, () => make(outer, client, id, options));
  }, options);
}

async function make(outer: Client, client: Client, id: string, options: NewContainerOptions): Promise<Container> {
  const ctx = client.context(options);
  const image = typeof options.image === "string" ? await client.getImage(options.image, options) : options.image;
  const snapshot = await takeSnapshot(client, id, image, options);
  try {
    const spec = options.spec ?? (await makeSpec(client, id, image, snapshot, options));
    const name = options.runtime ?? (await client.defaultRuntime(options));
    const record = await client.services.containerService.create(ctx, {
      id,
      labels: labelsOf(options.labels),
      image: image?.name ?? "",
      runtime: { name, options: options.runtimeOptions },
      spec: { typeUrl: specTypeUrl, value: encodeSpec(spec) },
      snapshotter: snapshot?.snapshotter ?? "",
      snapshotKey: snapshot?.key ?? "",
      createdAt: undefined,
      updatedAt: undefined,
      extensions: new Map(options.extensions),
      sandbox: options.sandbox ?? "",
    });
    return outer.containerOf(record);
  } catch (error) {
    // Also when the call was given up.
    if (snapshot?.isNew === true) {
      await unlessGone(client.snapshotter(snapshot.snapshotter).remove(client.context(), snapshot.key));
    }
    throw error;
  }
}

interface Snapshot {
  snapshotter: string;
  key: string;
  isNew: boolean;
}

async function takeSnapshot(
  client: Client,
  id: string,
  image: Image | undefined,
  options: NewContainerOptions,
): Promise<Snapshot | undefined> {
  const kind = options.snapshot ?? (image === undefined ? "none" : "new");
  if (kind === "none") return undefined;
  const snapshotter = options.snapshotter ?? (await client.defaultSnapshotter(options));
  const key = options.snapshotKey ?? id;
  const taken = { snapshotter, key, isNew: kind !== "existing" };
  if (kind === "existing") {
    await client.snapshotter(snapshotter).stat(client.context(options), key);
    return taken;
  }
  // Without an image the snapshot is empty.
  const parent = image === undefined ? "" : await parentOf(client, image, snapshotter, options);
  const labels = labelsOf(options.snapshotLabels);
  await client.snapshotter(snapshotter)[kind === "view" ? "view" : "prepare"](client.context(options), key, parent, {
    labels,
  });
  return taken;
}

/** The unpacked image. It is unpacked through the client of the lease, not through the one that it was made by. */
function parentOf(client: Client, image: Image, snapshotter: string, options: ForPlatform): Promise<string> {
  return new Image(client, image.record).unpack({ ...options, snapshotter });
}

function makeSpec(
  client: Client,
  id: string,
  image: Image | undefined,
  snapshot: Snapshot | undefined,
  options: NewContainerOptions,
): Promise<Spec> {
  if (options.specOptions === undefined && image === undefined) {
    throw invalidArgument(`container "${id}" has neither an image nor a spec: it would have no program to run`);
  }
  const { signal } = client.context(options);
  return createSpec(
    {
      id,
      namespace: client.namespace,
      signal,
      ...(image === undefined ? {} : { imageConfig: () => image.config(options) }),
      // Who may not mount cannot look names of users up; numbers do without.
      ...(snapshot === undefined || process.geteuid?.() !== 0
        ? {}
        : { withRootfs: (use) => withMountedRootfs(client, snapshot.snapshotter, snapshot.key, options, use) }),
    },
    ...(options.specOptions ?? [withImageConfig()]),
  );
}
