import { digestOf } from "@ctrd/core/digests";
import type { Image, ImageStore } from "@ctrd/core/images";
import type { Descriptor } from "@ctrd/core/records";
import { labelsOf } from "../records/harness.ts";
import type { RecordKind } from "../records/kind.ts";

/** A descriptor whose digest is that of `text`. */
export function targetOf(text: string, annotations: Readonly<Record<string, string>> = {}): Descriptor {
  return {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: digestOf(text),
    size: BigInt(text.length + 1),
    annotations: labelsOf(annotations),
  };
}

/** Images for the common tests. */
export const imageKind: RecordKind<ImageStore, Image> = {
  noun: "image",
  idField: "name",
  make: (name, labels = new Map()) => ({
    name,
    labels,
    target: targetOf("target", { n: "1" }),
    createdAt: undefined,
    updatedAt: undefined,
  }),
  idOf: (image) => image.name,
  create: (store, ctx, image) => store.create(ctx, image),
  get: (store, ctx, name) => store.get(ctx, name),
  list: (store, ctx, filters) => store.list(ctx, filters),
  update: (store, ctx, image, mask) => store.update(ctx, image, mask),
  delete: (store, ctx, name) => store.delete(ctx, name),
};
