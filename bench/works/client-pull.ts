/**
 * Pull with unpack of the image of 30,000 files: `ctrd pull` on ctrd beside `ctr images pull` on containerd. Every run
 * pulls blobs that the daemon has never seen into a namespace that has no snapshots, and removes nothing (see pull.ts).
 */
import { gzipSync } from "node:zlib";
import { jsonBlob, memoryBlob, pushImage } from "@ctrd/testkit/fixtures";
import { ctrd } from "../command-line.ts";
import { pushManyFiles, readManyFiles, type Manifest } from "../many-files.ts";
import { settle } from "../settle.ts";
import { timed, type BenchContext, type Work } from "../work.ts";

const manifestType = "application/vnd.oci.image.manifest.v1+json";

/** References by round; both sides pull the same images. */
const references: string[] = [];
const rounds = { ours: 0, theirs: 0 };

export const clientPull: Work = {
  name: "client-pull",
  unit: "s",
  target: "<= 0.50",
  async run(side, context) {
    const round = rounds[side.name]++;
    const reference = (references[round] ??= await pushed(round, context));
    const namespace = `${side.namespace}-pull-${round}`;
    await settle(side, context.cache);
    const pull = (): Promise<unknown> =>
      side.name === "ours"
        ? ctrd("--address", side.daemon.address, "--namespace", namespace, "pull", "--plain-http", reference)
        : side.inNamespace(namespace)("images", "pull", "--plain-http", reference);
    return (await timed(pull)) / 1000;
  },
};

/** The image in other blobs: an empty gzip member behind a layer changes its digest, but not what it holds. */
async function pushed(round: number, context: BenchContext): Promise<string> {
  const root = { digest: await pushManyFiles(context), mediaType: manifestType };
  const manifest = JSON.parse((await readManyFiles(context, "manifests", root)).toString()) as Manifest;
  const tail = gzipSync("");
  // The member's time tells the rounds apart.
  tail.writeUInt32LE(round + 1, 4);
  const blobs = [memoryBlob(manifest.config.mediaType, await readManyFiles(context, "blobs", manifest.config))];
  const layers = [];
  for (const layer of manifest.layers) {
    const blob = memoryBlob(layer.mediaType, Buffer.concat([await readManyFiles(context, "blobs", layer), tail]));
    blobs.push(blob);
    layers.push(blob.descriptor);
  }
  const tree = { root: jsonBlob(manifestType, { ...manifest, layers }), blobs };
  return pushImage(context.scratch, "bench/client-pull", `${round}`, tree);
}
