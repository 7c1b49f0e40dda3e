/**
 * Unpack of an image of 30,000 files and 700 MB (gzip, three layers). Its blobs are fetched beforehand, so that
 * neither network nor registry is in the time: `ctr snapshots unpack` alone is measured. The file system's dirty
 * pages are written out before each run.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { proxySnapshotter } from "@ctrd/services";
import { buildImage, mustRun, pushImage } from "@ctrd/testkit/fixtures";
import type { Side } from "../side.ts";
import { timed, type BenchContext, type Work } from "../work.ts";

interface Pushed {
  readonly digest: string;
}

const repository = "bench/many-files";

export const unpack: Work = {
  name: "unpack",
  unit: "s",
  target: "<= 0.45",
  async prepare(side, context) {
    await pushed(context);
    await side.ctr("content", "fetch", "--plain-http", `${context.registry.host}/${repository}:1`);
  },
  async run(side, context) {
    const { digest } = await pushed(context);
    await mustRun("sync", []);
    const total = await timed(() => side.ctr("snapshots", "unpack", digest));
    await removeSnapshots(side);
    return total / 1000;
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

/** Removes every snapshot, the leaves first; whoever needs others prepares them again. */
async function removeSnapshots(side: Side): Promise<void> {
  const snapshotter = proxySnapshotter(side.channel, "overlayfs");
  for (;;) {
    const infos = await Array.fromAsync(snapshotter.walk(side.ctx, []));
    if (infos.length === 0) break;
    const parents = new Set(infos.map((info) => info.parent));
    for (const info of infos) if (!parents.has(info.name)) await snapshotter.remove(side.ctx, info.name);
  }
  // The files go with the next collection, which a synchronous one is.
  await side.ctr("leases", "create", "--id", "collect");
  await side.ctr("leases", "rm", "--sync", "collect");
}
