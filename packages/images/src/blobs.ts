/**
 * Reading small blobs whole.
 *
 * @module
 */
import type { ContentProvider } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { parseDigest } from "@ctrd/core/digests";
import { dataLoss, invalidArgument, messageOf, resourceExhausted } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import { createHash } from "node:crypto";

/** Manifests, indexes and configurations larger than this are refused; containerd's limit. */
export const maxDocumentBytes: number = 4 * 1048 * 1048;

/**
 * Reads a document and checks its digest.
 *
 * @throws ContainerdError `not-found`; `resource-exhausted` when it is larger than {@link maxDocumentBytes};
 * `data-loss` when the store has other bytes under this digest
 */
export async function readDocument(
  ctx: CallContext,
  content: ContentProvider,
  descriptor: Descriptor,
): Promise<Buffer> {
  const { digest } = descriptor;
  const reader = await content.reader(ctx, digest);
  try {
    if (reader.size > BigInt(maxDocumentBytes)) {
      throw resourceExhausted(`document ${digest} has ${reader.size} bytes, at most ${maxDocumentBytes} are read`);
    }
    const bytes = Buffer.from(await reader.read(0n, Number(reader.size)));
    const { algorithm, hex } = parseDigest(digest);
    if (createHash(algorithm).update(bytes).digest("hex") === hex) return bytes;
    throw dataLoss(`document ${digest}: the content store has other bytes under this digest; remove it and pull again`);
  } finally {
    await reader.close();
  }
}

/** Reads a JSON object. @throws as {@link readDocument}, and `invalid-argument` when it is none */
export async function readJson(
  ctx: CallContext,
  content: ContentProvider,
  descriptor: Descriptor,
): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await readDocument(ctx, content, descriptor);
  return parseJsonObject(bytes, `document ${descriptor.digest}`);
}

/** Parses a JSON object. `what` begins the message of its `invalid-argument` error. */
export function parseJsonObject(bytes: Uint8Array, what: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalidArgument(`${what} is not JSON: ${messageOf(error)}`, { cause: error });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalidArgument(`${what} is not a JSON object`);
}
