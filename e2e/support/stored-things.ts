/** Blobs, leases and snapshots made by hand, over the API of any daemon. */
import type { Client } from "@ctrd/client";
import { sha256 } from "./command.ts";

/** Stores a blob and returns its digest. */
export async function putBlob(client: Client, text: string, labels: Record<string, string> = {}): Promise<string> {
  const ctx = client.context();
  const writer = await client.content.writer(ctx, { ref: `put-${sha256(text)}` });
  await writer.write(Buffer.from(text));
  await writer.commit(ctx, { labels: new Map(Object.entries(labels)) });
  return `sha256:${sha256(text)}`;
}

/** Begins an upload and leaves it. */
export async function leaveIngest(client: Client, ref: string, text: string): Promise<void> {
  const writer = await client.content.writer(client.context(), { ref });
  await writer.write(Buffer.from(text));
  await writer.close();
}

/** Commits an empty snapshot. */
export async function putSnapshot(
  client: Client,
  name: string,
  parent = "",
  labels: Record<string, string> = {},
): Promise<void> {
  const ctx = client.context();
  const snapshotter = client.snapshotter("overlayfs");
  await snapshotter.prepare(ctx, `${name}-active`, parent, { labels: new Map(Object.entries(labels)) });
  await snapshotter.commit(ctx, name, `${name}-active`, { labels: new Map(Object.entries(labels)) });
}
