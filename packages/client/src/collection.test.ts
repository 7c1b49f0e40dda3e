// Pulls beside the daemon's garbage collection, which takes what nobody refers to whenever it likes.
import type { Snapshotter } from "@ctrd/core/snapshots";
import { buildImage, pushImage } from "@ctrd/testkit/fixtures";
import { expect, it } from "vitest";
import { forEachDaemon } from "../test/harness.ts";
import type { Client, Image } from "./index.ts";
import { connect } from "./index.ts";

let seed = 0;
/** An image that shares nothing with another. */
const ownImage = (layers: number) =>
  buildImage({
    layers: Array.from({ length: layers }, () => ({
      manyFiles: { count: 2, totalBytes: 1_000, seed: 15_000 + seed, prefix: `collected${seed++}` },
    })),
  });

/** Collects what nobody refers to, and returns when that is done. */
async function collect(client: Client): Promise<void> {
  await (await client.createLease()).delete({ sync: true });
}

forEachDaemon("garbage collection beside a pull", (h) => {
  it.each([
    ["an image of one layer", 1, 1],
    ["the lower layers", 3, 2],
    ["all layers", 3, 3],
  ])("takes the snapshots of %s, which the pull has just seen", async (what, layers, left) => {
    const { client, registry, resolver, daemon } = h();
    const overlay = client.snapshotter("overlayfs");
    const reference = await pushImage(registry, "test/collected", what.replaceAll(" ", "-"), await ownImage(layers));
    // Snapshots that only a lease keeps: of an image whose content was never here, or is gone.
    const lease = await client.createLease();
    const stale = await lease.client.pull(reference);
    let top = await stale.chainId();
    for (let remaining = layers; remaining > left; remaining--) {
      const { parent } = await overlay.stat(client.context(), top);
      await overlay.remove(client.context(), top);
      top = parent;
    }
    await removeContent(client, stale);
    let looks = 0;
    const snapshotter: Snapshotter = {
      ...overlay,
      async stat(ctx, key) {
        const found = await overlay.stat(ctx, key);
        if (looks++ === 0) await lease.delete({ sync: true });
        return found;
      },
    };
    await using other = await connect(daemon.address, {
      resolver,
      snapshotters: new Map([["overlayfs", snapshotter]]),
    });
    const image = await other.pull(reference);
    expect(looks).toBeGreaterThan(0);
    await collect(client);
    expect(await image.isUnpacked()).toBe(true);
    await image.delete({ sync: true });
  });
});

async function removeContent(client: Client, image: Image): Promise<void> {
  const { config, layers } = await image.manifest();
  await image.delete();
  for (const { digest } of [image.target, config, ...layers]) await client.content.delete(client.context(), digest);
}
