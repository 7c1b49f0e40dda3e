import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";

/**
 * Where the layer of a chain id is in the shared directory. A chain id names a layer together with all below it.
 *
 * @param {string} layers
 * @param {string} chainId
 */
export function layerDirectory(layers, chainId) {
  // It comes from outside and becomes part of a path.
  if (!/^sha256:[0-9a-f]{64}$/.test(chainId)) return undefined;
  return join(layers, chainId.replace(":", "-"));
}

/**
 * The layer's directory when it has been published.
 *
 * @param {string} layers
 * @param {string | undefined} chainId
 */
export function publishedLayer(layers, chainId = "") {
  const directory = layerDirectory(layers, chainId);
  return directory !== undefined && existsSync(directory) ? directory : undefined;
}

/**
 * Chain ids of an image's layers, lowest first.
 *
 * @param {readonly string[]} diffIds
 */
export function chainIds(diffIds) {
  /** @type {string[]} */
  const chain = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    const hash = createHash("sha256").update(`${below} ${diffId}`).digest("hex");
    chain.push(below === undefined ? diffId : `sha256:${hash}`);
  }
  return chain;
}
