/**
 * The image store: names for descriptors.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { Descriptor, Labels, Timestamp } from "./records.ts";

/** An image record. `name` is free text, by custom a normalised reference. */
export interface Image {
  name: string;
  labels: Labels;
  target: Descriptor | undefined;
  createdAt: Timestamp | undefined;
  updatedAt: Timestamp | undefined;
}

export interface DeleteImageOptions {
  /** Delete only when the record points at this digest; otherwise `not-found`. */
  target?: Descriptor;
}

export interface ImageStore {
  /** @throws `not-found` */
  get(ctx: CallContext, name: string): Promise<Image>;
  list(ctx: CallContext, filters: readonly string[]): Promise<Image[]>;
  /** @throws `already-exists`, `invalid-argument` */
  create(ctx: CallContext, image: Image, sourceDateEpoch?: Timestamp): Promise<Image>;
  /** Paths: `labels`, `labels.<k>`, `target`, `annotations`, `annotations.<k>`; empty = all. @throws `not-found` */
  update(ctx: CallContext, image: Image, mask: readonly string[], sourceDateEpoch?: Timestamp): Promise<Image>;
  /** @throws `not-found` */
  delete(ctx: CallContext, name: string, options?: DeleteImageOptions): Promise<void>;
}
