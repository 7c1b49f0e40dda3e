/**
 * `ctr images pull` of an image of five layers (3,000 files, 60 MB) from the local registry, unpacked. Every run pulls
 * an image that the daemon has never seen, and nothing is removed in between: ext4 searches past recently deleted
 * inodes (300 µs a file after a few rounds), which would measure the file system instead of the daemons.
 */
import { buildImage, pushImage } from "@ctrd/testkit/fixtures";
import { settle } from "../settle.ts";
import { timed, type BenchContext, type Work } from "../work.ts";

/** References by round; both sides pull the same images. */
const references: string[] = [];
const rounds = { ours: 0, theirs: 0 };

export const pull: Work = {
  name: "pull-5",
  unit: "ms",
  target: "<= 0.70",
  async run(side, context) {
    const reference = await pushedFive(rounds[side.name]++, context);
    await settle(side, context.cache);
    return timed(() => side.ctr("images", "pull", "--plain-http", reference));
  },
};

/** The image of a round. */
export async function pushedFive(round: number, { registry }: BenchContext): Promise<string> {
  const known = references[round];
  if (known !== undefined) return known;
  const layers = [1, 2, 3, 4, 5].map((layer) => ({
    manyFiles: { count: 600, totalBytes: 12_000_000, seed: round * 10 + layer, prefix: `layer${layer}` },
  }));
  const reference = await pushImage(registry, "bench/five", `${round}`, await buildImage({ layers }));
  references[round] = reference;
  return reference;
}
