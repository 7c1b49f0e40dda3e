/** Opens the image side of CRI. */
import type { Client } from "@ctrd/client";
import type { PullTracker } from "@ctrd/core/pulls";
import type { ImagesConfig } from "../config/images-config.ts";
import { followImageEvents } from "../events/image-events.ts";
import { CriImages } from "./cri-images.ts";
import { SnapshotUsages } from "./snapshot-usages.ts";

/** Reads the images of the client's namespace and follows what becomes of them until the client is closed. */
export async function openCriImages(client: Client, config: ImagesConfig, pulls?: PullTracker): Promise<CriImages> {
  const usages = new SnapshotUsages(client.services.snapshotters, config.stats_collect_period * 1000);
  const images = new CriImages(client, config, usages, pulls);
  followImageEvents(client, images);
  await images.load(client.context());
  return images;
}
