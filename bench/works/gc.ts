/** A collection that a caller waits for: `Images.Delete` with sync, of a small image that was unpacked. */
import { proxyImages } from "@ctrd/services";
import { busyboxImage, pushImage } from "@ctrd/testkit/fixtures";
import { timed, type Work } from "../work.ts";

let reference = "";

export const syncCollection: Work = {
  name: "gc-sync-idle",
  unit: "ms",
  target: "<= 1.00",
  async prepare(_side, { registry }) {
    reference = await pushImage(registry, "bench/busybox", "1", await busyboxImage());
  },
  async run(side) {
    await side.ctr("images", "pull", "--plain-http", reference);
    return await timed(() => proxyImages(side.channel).delete(side.ctx, reference, { sync: true }));
  },
};
