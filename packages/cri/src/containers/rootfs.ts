/** Root file systems of containers: a writable snapshot on that of the image. */
import type { Client } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import type { Labels } from "@ctrd/core/records";
import type { CriImage } from "../images/cri-image.ts";
import { unlessGone } from "../store/unless-gone.ts";

/** A snapshot that is made. */
export interface RootfsRequest {
  readonly image: CriImage;
  readonly snapshotter: string;
  readonly key: string;
  readonly labels?: Labels;
}

/** Makes the snapshot, under the lease of `ctx`. An image that another snapshotter has is unpacked first. */
export async function prepareRootfs(client: Client, ctx: CallContext, request: RootfsRequest): Promise<void> {
  const { image, snapshotter: name, key, labels = new Map() } = request;
  const snapshotter = client.snapshotter(name);
  try {
    await snapshotter.prepare(ctx, key, image.chainId, { labels });
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
    await unpack(client, ctx, image, name);
    await snapshotter.prepare(ctx, key, image.chainId, { labels });
  }
}

/** Makes a read-only snapshot of the image. */
export async function viewImage(client: Client, ctx: CallContext, request: RootfsRequest): Promise<void> {
  const { image, snapshotter: name, key } = request;
  const snapshotter = client.snapshotter(name);
  try {
    await snapshotter.view(ctx, key, image.chainId);
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
    await unpack(client, ctx, image, name);
    await snapshotter.view(ctx, key, image.chainId);
  }
}

async function unpack(client: Client, ctx: CallContext, image: CriImage, snapshotter: string): Promise<void> {
  const found = await client.getImage(image.id, { signal: ctx.signal, span: ctx.span, operation: ctx.operation });
  await found.unpack({ signal: ctx.signal, span: ctx.span, operation: ctx.operation, snapshotter });
}

/** Removes a snapshot; one that is gone is fine. */
export async function removeRootfs(client: Client, ctx: CallContext, snapshotter: string, key: string): Promise<void> {
  await unlessGone(client.snapshotter(snapshotter).remove(ctx, key));
}
