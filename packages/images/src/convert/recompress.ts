/**
 * The same uncompressed layer in another compression.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Transform } from "node:stream";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import type { ConvertedLayer, LayerFormat } from "./jobs.ts";
import type { BlockWriter } from "./output.ts";

const chunkSize = 1 << 20;

/** Compresses `source`, which is plain, to `output`. */
export async function recompress(
  source: AsyncIterable<Buffer>,
  format: Exclude<LayerFormat, "estargz">,
  level: number | undefined,
  output: BlockWriter,
): Promise<ConvertedLayer> {
  const hash = createHash("sha256");
  let uncompressedSize = 0;
  const compressor = compressorOf(format, level);
  const forwarding = compressor === undefined ? undefined : forward(compressor, output);
  try {
    for await (const chunk of source) {
      hash.update(chunk);
      uncompressedSize += chunk.length;
      if (compressor === undefined) await output.write(chunk);
      else if (!compressor.write(chunk)) await Promise.race([once(compressor, "drain"), forwarding]);
    }
    compressor?.end();
    await forwarding;
  } catch (error) {
    compressor?.destroy();
    throw error;
  }
  const diffId = `sha256:${hash.digest("hex")}`;
  return { sourceDiffId: diffId, diffId, uncompressedSize };
}

function compressorOf(format: Exclude<LayerFormat, "estargz">, level: number | undefined): Transform | undefined {
  if (format === "gzip") return createGzip({ chunkSize, ...(level === undefined ? {} : { level }) });
  if (format === "zstd") {
    const params = level === undefined ? {} : { [constants.ZSTD_c_compressionLevel]: level };
    return createZstdCompress({ chunkSize, params });
  }
  return undefined;
}

/** Passes on what the compressor makes, while more is written to it. */
function forward(compressor: Transform, output: BlockWriter): Promise<void> {
  const done = (async (): Promise<void> => {
    for await (const chunk of compressor) await output.write(chunk as Buffer);
  })();
  // It is awaited later; until then a failure must not count as unhandled.
  done.catch(() => {});
  return done;
}
