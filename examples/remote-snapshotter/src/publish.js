/** Unpacks the layers of an image into the shared directory: `npm run publish-image -- OCI-LAYOUT [--layers DIR]`. */
import { mkdir, mkdtemp, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { applyLayer } from "@ctrd/archive";
import { chainIds, layerDirectory, publishedLayer } from "./layers.js";

const { values, positionals } = parseArgs({
  options: { layers: { type: "string", default: "/srv/layers" } },
  allowPositionals: true,
});
const [layout] = positionals;
if (layout === undefined) throw new Error("usage: npm run publish-image -- OCI-LAYOUT [--layers DIR]");

/** @param {string} digest */
const blob = (digest) => join(layout, "blobs", ...digest.split(":"));
/** @param {string} path */
const readJson = async (path) => JSON.parse(await readFile(path, "utf8"));

const index = await readJson(join(layout, "index.json"));
const manifest = await readJson(blob(index.manifests[0].digest));
const config = await readJson(blob(manifest.config.digest));
const chain = chainIds(config.rootfs.diff_ids);
await mkdir(values.layers, { recursive: true });
for (const [i, chainId] of chain.entries()) {
  if (publishedLayer(values.layers, chainId) !== undefined) continue;
  const directory = layerDirectory(values.layers, chainId) ?? "";
  const root = await mkdtemp(join(values.layers, "new-"));
  const lowers = chain.slice(0, i).map((below) => layerDirectory(values.layers, below) ?? "");
  const { digest } = await applyLayer({
    path: blob(manifest.layers[i].digest),
    root,
    overlay: true,
    lowers: lowers.toReversed(),
  });
  if (digest !== config.rootfs.diff_ids[i])
    throw new Error(`layer ${i} of ${layout} is ${digest}, not what its image says`);
  await rename(root, directory);
  process.stdout.write(`published ${directory}\n`);
}
