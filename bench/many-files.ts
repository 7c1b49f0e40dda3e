/** The image of 30,000 files and 700 MB (gzip, three layers). It is built once and kept with the registry's directory. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildImage, mustRun, pushImage } from "@ctrd/testkit/fixtures";
import type { BlobDescriptor } from "@ctrd/testkit/fixtures";
import type { BenchContext } from "./work.ts";

export const manyFilesRepository = "bench/many-files";

/** An image manifest as far as it is needed here. */
export interface Manifest {
  readonly mediaType: string;
  readonly config: BlobDescriptor;
  readonly layers: readonly BlobDescriptor[];
}

/** Sees to it that `bench/many-files:1` is in the registry; returns the digest of its manifest. */
export async function pushManyFiles({ registry, cache }: BenchContext): Promise<string> {
  const note = join(cache, "many-files.json");
  try {
    return (JSON.parse(await readFile(note, "utf8")) as { digest: string }).digest;
  } catch {
    process.stderr.write("building the image of 30,000 files, once\n");
  }
  const layers = [1, 2, 3].map((seed) => ({
    manyFiles: { count: 10_000, totalBytes: 233_000_000, seed, prefix: `layer${seed}` },
  }));
  const image = await buildImage({ layers, dir: join(cache, "layers") });
  await pushImage(registry, manyFilesRepository, "1", image);
  const { digest } = image.root.descriptor;
  await writeFile(note, JSON.stringify({ digest }));
  await mustRun("rm", ["-r", join(cache, "layers")]);
  return digest;
}

/** Reads a manifest or a blob of the image back. */
export async function readManyFiles(
  { registry }: BenchContext,
  kind: "manifests" | "blobs",
  { digest, mediaType }: Pick<BlobDescriptor, "digest" | "mediaType">,
): Promise<Buffer> {
  const url = `${registry.url}/v2/${manyFilesRepository}/${kind}/${digest}`;
  const response = await fetch(url, { headers: { accept: mediaType } });
  if (!response.ok) throw new Error(`${url}: HTTP status ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}
