/**
 * Unpack of an image of 30,000 files and 700 MB (gzip, three layers). Its blobs are fetched beforehand, so that
 * neither network nor registry is in the time: `ctr snapshots unpack` alone is measured. Every run unpacks into a namespace of its own and removes nothing: ext4
 * searches past recently deleted inodes, which would measure the file system instead of the daemons.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildImage, mustRun, pushImage } from "@ctrd/testkit/fixtures";
import { settle } from "../settle.ts";
import { timed, type BenchContext, type Work } from "../work.ts";

interface Pushed {
  readonly digest: string;
}

const repository = "bench/many-files";
const rounds = { ours: 0, theirs: 0 };

export const unpack: Work = {
  name: "unpack",
  unit: "s",
  target: "<= 0.45",
  async run(side, context) {
    const { digest } = await pushed(context);
    const there = side.inNamespace(`${side.namespace}-${rounds[side.name]++}`);
    await there("content", "fetch", "--plain-http", `${context.registry.host}/${repository}:1`);
    await settle(side, context.cache);
    return (await timed(() => there("snapshots", "unpack", digest))) / 1000;
  },
};

/** Builds and pushes the image once; the registry's directory is kept with it. */
async function pushed({ registry, cache }: BenchContext): Promise<Pushed> {
  const note = join(cache, "many-files.json");
  try {
    return JSON.parse(await readFile(note, "utf8")) as Pushed;
  } catch {
    process.stderr.write("building the image of 30,000 files, once\n");
  }
  const layers = [1, 2, 3].map((seed) => ({
    manyFiles: { count: 10_000, totalBytes: 233_000_000, seed, prefix: `layer${seed}` },
  }));
  const image = await buildImage({ layers, dir: join(cache, "layers") });
  await pushImage(registry, repository, "1", image);
  const result: Pushed = { digest: image.root.descriptor.digest };
  await writeFile(note, JSON.stringify(result));
  await mustRun("rm", ["-r", join(cache, "layers")]);
  return result;
}
