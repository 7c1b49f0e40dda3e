/**
 * Images as CRI knows them: by the digest of their configuration, with every name that points at them.
 *
 * @module
 */
import type { Image as ImageMessage } from "@ctrd/api/cri/runtime/v1/api";
import { Image } from "@ctrd/api/cri/runtime/v1/api";
import { parseReference } from "@ctrd/core/references";
import type { ImageConfig } from "@ctrd/oci";

/** What else an image says about how it is run. */
export interface ImageExtras {
  /** Paths at which the image wants volumes. */
  readonly volumes: readonly string[];
  /** Name or number; empty: SIGTERM. */
  readonly stopSignal: string;
  readonly labels: ReadonlyMap<string, string>;
}

/** An image that can be run. */
export interface CriImage {
  /** Digest of its configuration. */
  readonly id: string;
  /** Names of the records that point at it, its id among them. */
  readonly references: readonly string[];
  /** Digest that its records point at: of an index or a manifest. */
  readonly target: string;
  /** Name of its snapshot; empty when it has no layers. */
  readonly chainId: string;
  /** Bytes of its content. */
  readonly size: bigint;
  readonly config: ImageConfig;
  readonly extras: ImageExtras;
  /** The configuration document, for verbose status. */
  readonly document: unknown;
  readonly pinned: boolean;
}

/** What the content of an image tells; names and pins are of its records. */
export type ReadImage = Omit<CriImage, "references" | "pinned">;

/** The names of an image by kind: with a tag, and with a digest. */
export function splitReferences(references: readonly string[]): { tags: string[]; digests: string[] } {
  const [tags, digests]: [string[], string[]] = [[], []];
  for (const reference of references) {
    if (reference.startsWith("sha256:")) continue;
    const { digest, tag } = parseReference(reference);
    if (digest !== "") digests.push(reference);
    else if (tag !== "") tags.push(reference);
  }
  return { tags, digests };
}

/** The message of an image. */
export function imageMessage(image: CriImage): ImageMessage {
  const { tags, digests } = splitReferences(image.references);
  return Image.fromPartial({
    id: image.id,
    repoTags: tags,
    repoDigests: digests,
    size: image.size,
    pinned: image.pinned,
    ...userOf(image.config.user),
  });
}

/** Who runs the image: a number, or else a name. What does not fit an int64 is told as a name. */
function userOf(user: string): { uid?: { value: bigint }; username?: string } {
  const [name = ""] = user.split(":");
  if (name === "") return { uid: { value: 0n } };
  return /^\d{1,18}$/.test(name) ? { uid: { value: BigInt(name) } } : { username: name };
}
