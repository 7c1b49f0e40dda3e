/**
 * Layers that ocicrypt has encrypted: what the daemon's decoder must be told.
 *
 * @module
 */
import type { ApplyOptions } from "@ctrd/core/diff";
import type { Any, Descriptor } from "@ctrd/core/records";
import { isEncryptedLayer } from "./media-types.ts";

/** The decoders' names in containerd's configuration. */
const decoders = ["io.containerd.ocicrypt.decoder.v1.tar", "io.containerd.ocicrypt.decoder.v1.tar.gzip"];

/** Options for applying a layer. The key of an encrypted one is in its annotations, itself encrypted for the decoder. */
export function applyOptionsFor(layer: Descriptor): ApplyOptions {
  if (!isEncryptedLayer(layer.mediaType)) return {};
  const { mediaType, digest, size, annotations } = layer;
  const descriptor = { mediaType, digest, size: Number(size), annotations: Object.fromEntries(annotations) };
  // No keys: those of the daemon are used.
  const payload = { DecryptConfig: { Parameters: {} }, Descriptor: descriptor };
  const any: Any = { typeUrl: "io.containerd.ocicrypt.v1.Payload", value: Buffer.from(JSON.stringify(payload)) };
  return { payloads: new Map(decoders.map((id) => [id, any])) };
}
