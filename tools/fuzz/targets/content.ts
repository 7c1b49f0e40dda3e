/**
 * One blob in memory as a store of content.
 *
 * @module
 */
import type { ContentProvider, ContentReader } from "@ctrd/core/content";
import { digestOf } from "@ctrd/core/digests";
import type { Descriptor } from "@ctrd/core/records";

/** A provider of these bytes, and their descriptor. */
export function contentOf(bytes: Buffer, mediaType: string): [ContentProvider, Descriptor] {
  const descriptor = {
    mediaType,
    digest: digestOf(bytes),
    size: BigInt(bytes.length),
    annotations: new Map<string, string>(),
  };
  return [new MemoryProvider(bytes), descriptor];
}

class MemoryProvider implements ContentProvider {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  async reader(): Promise<ContentReader> {
    return {
      size: BigInt(this.#bytes.length),
      read: async (offset, length) => this.#bytes.subarray(Number(offset), Number(offset) + length),
      close: async () => {},
    };
  }
}
