/**
 * What an image is made of: as much as the content store has of it.
 *
 * @module
 */
import { isKind } from "@ctrd/core/errors";
import { hostPlatform } from "@ctrd/core/platforms";
import type { Descriptor } from "@ctrd/core/records";
import type { Manifest } from "@ctrd/images";
import {
  chainIds,
  fittingManifests,
  formatPlatform,
  matchPlatform,
  parseImageDocument,
  readDocument,
  readRootfs,
} from "@ctrd/images";
import type { Session } from "../session.ts";

/** An image for this machine. */
export interface ImageDescription {
  readonly manifestDigest: string;
  readonly manifest: Manifest;
  /** The configuration's JSON. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly platform: string;
  readonly diffIds: readonly string[];
  /** Name of the snapshot of all layers; empty without layers. */
  readonly chainId: string;
  /** Bytes of configuration and layers as they are stored. */
  readonly size: bigint;
}

/** Takes an image apart; undefined when the content store has not enough of it for this platform. */
export async function describeImage(session: Session, target: Descriptor): Promise<ImageDescription | undefined> {
  try {
    return await describe(session, target);
  } catch (error) {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
}

async function describe(session: Session, target: Descriptor): Promise<ImageDescription | undefined> {
  const { ctx, content } = session;
  const document = parseImageDocument(await readDocument(ctx, content, target), target);
  if (document.kind === "index") {
    for (const entry of fittingManifests(document.manifests, matchPlatform(hostPlatform()))) {
      const found = await describeImage(session, entry);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  const bytes = await readDocument(ctx, content, document.config);
  const config = JSON.parse(bytes.toString("utf8")) as Readonly<Record<string, unknown>>;
  const { diffIds, platform } = await readRootfs(ctx, content, document.config);
  return {
    manifestDigest: target.digest,
    manifest: document,
    config,
    platform: formatPlatform(platform),
    diffIds,
    chainId: chainIds(diffIds).at(-1) ?? "",
    size: document.layers.reduce((sum, layer) => sum + layer.size, document.config.size),
  };
}
