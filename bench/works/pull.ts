/** `ctr images pull` of an image of five layers (3,000 files, 60 MB) from the local registry, unpacked. */
import { buildImage, pushImage } from "@ctrd/testkit/fixtures";
import { timed, type Work } from "../work.ts";

let reference = "";

export const pull: Work = {
  name: "pull-5",
  unit: "ms",
  target: "<= 0.70",
  async prepare(_side, { registry }) {
    if (reference !== "") return;
    const layers = [1, 2, 3, 4, 5].map((seed) => ({
      manyFiles: { count: 600, totalBytes: 12_000_000, seed, prefix: `layer${seed}` },
    }));
    reference = await pushImage(registry, "bench/five", "1", await buildImage({ layers }));
  },
  async run(side) {
    const total = await timed(() => side.ctr("images", "pull", "--plain-http", reference));
    await side.ctr("images", "rm", "--sync", reference);
    return total;
  },
};
