/** Reads what CRI wants to know of the image that a record points at. */
import type { Client } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import type { Image as ImageRecord } from "@ctrd/core/images";
import { chainIds, readDocument, readRootfs } from "@ctrd/images";
import { parseImageConfig } from "@ctrd/oci";
import type { ReadImage } from "./cri-image.ts";
import { imageExtras } from "./image-document.ts";

/**
 * The image of a record.
 *
 * @returns undefined when its content is not here
 */
export async function readImage(client: Client, ctx: CallContext, record: ImageRecord): Promise<ReadImage | undefined> {
  const image = client.imageOf(record);
  try {
    const { config } = await image.manifest({ signal: ctx.signal, span: ctx.span, operation: ctx.operation });
    const document = await readDocument(ctx, client.content, config);
    const parsed: unknown = JSON.parse(Buffer.from(document).toString());
    const { diffIds } = await readRootfs(ctx, client.content, config);
    return {
      id: config.digest,
      target: image.target.digest,
      chainId: chainIds(diffIds).at(-1) ?? "",
      size: await image.usage({
        signal: ctx.signal,
        span: ctx.span,
        operation: ctx.operation,
        platform: client.platform,
      }),
      config: parseImageConfig(document),
      extras: imageExtras(parsed),
      document: parsed,
    };
  } catch (error) {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
}
