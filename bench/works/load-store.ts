/** A full store: 1,000 images of ten blobs and nine layers, and a container with a snapshot on each. */
import { createHash } from "node:crypto";
import type { CallContext } from "@ctrd/core/context";
import type { Container } from "@ctrd/core/containers";
import type { Image } from "@ctrd/core/images";
import { proxyContainers, proxyContentStore, proxyImages, proxyLeases, proxySnapshotter } from "@ctrd/services";
import type { RpcChannel } from "@ctrd/services";
import { withLease } from "@ctrd/core/context";

/** Images, and containers. */
export const chains = 1000;
const blobsOfImage = 10;
const layers = 9;
const atOnce = 16;

const blobText = (image: number, blob: number): string => `blob ${blob} of image ${image}`;
const digestOf = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;
const blobDigest = (image: number, blob: number): string => digestOf(blobText(image, blob));

export const containerId = (image: number): string => `container-${image}`;
/** @param layer from 0 to 8 */
export const snapshotName = (image: number, layer: number): string => `sha256:chain-${image}-${layer}`;

/** An image record of the first blob of `image`. */
export function imageRecord(name: string, image: number): Image {
  return {
    name,
    labels: new Map(),
    target: {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest: blobDigest(image, 0),
      size: BigInt(blobText(image, 0).length),
      annotations: new Map(),
    },
    createdAt: undefined,
    updatedAt: undefined,
  };
}

/** Fills the store through the API, under a lease that is then deleted. */
export async function fillStore(channel: RpcChannel, ctx: CallContext): Promise<void> {
  const leases = proxyLeases(channel);
  const { id } = await leases.create(ctx, { id: "fill", labels: new Map() });
  const leased = withLease(ctx, id);
  let next = 0;
  const fill = async (): Promise<void> => {
    while (next < chains) await fillImage(channel, leased, next++);
  };
  await Promise.all(Array.from({ length: atOnce }, fill));
  await leases.delete(ctx, id, { sync: true });
}

async function fillImage(channel: RpcChannel, ctx: CallContext, image: number): Promise<void> {
  const content = proxyContentStore(channel);
  for (let blob = 0; blob < blobsOfImage; blob++) {
    const data = Buffer.from(blobText(image, blob));
    const expected = blobDigest(image, blob);
    const writer = await content.writer(ctx, { ref: `fill-${image}-${blob}`, total: BigInt(data.length), expected });
    await writer.write(data);
    await writer.commit(ctx, { expected, labels: blob === 0 ? references(image) : new Map() });
  }
  await fillSnapshots(channel, ctx, image);
  await proxyImages(channel).create(ctx, imageRecord(`example.com/image-${image}:1`, image));
  await proxyContainers(channel).create(ctx, containerRecord(image));
}

async function fillSnapshots(channel: RpcChannel, ctx: CallContext, image: number): Promise<void> {
  const snapshotter = proxySnapshotter(channel, "overlayfs");
  let parent = "";
  for (let layer = 0; layer < layers; layer++) {
    const key = `extract-${image}-${layer}`;
    await snapshotter.prepare(ctx, key, parent);
    await snapshotter.commit(ctx, snapshotName(image, layer), key);
    parent = snapshotName(image, layer);
  }
  await snapshotter.prepare(ctx, containerId(image), parent);
}

/** What an image's manifest refers to. */
function references(image: number): Map<string, string> {
  const labels = new Map([["containerd.io/gc.ref.snapshot.overlayfs", snapshotName(image, layers - 1)]]);
  for (let blob = 1; blob < blobsOfImage; blob++) {
    labels.set(`containerd.io/gc.ref.content.${blob}`, blobDigest(image, blob));
  }
  return labels;
}

function containerRecord(image: number): Container {
  return {
    id: containerId(image),
    labels: new Map([["example.com/number", String(image)]]),
    image: `example.com/image-${image}:1`,
    runtime: { name: "io.containerd.runc.v2", options: undefined },
    // As large as a specification is.
    spec: { typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: Buffer.alloc(4096, "{}") },
    snapshotter: "overlayfs",
    snapshotKey: containerId(image),
    createdAt: undefined,
    updatedAt: undefined,
    extensions: new Map(),
    sandbox: "",
  };
}
