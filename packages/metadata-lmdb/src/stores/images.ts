import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { parseDigest } from "@ctrd/core/digests";
import { alreadyExists, invalidArgument, messageOf, notFound } from "@ctrd/core/errors";
import { maskedKey } from "@ctrd/core/field-mask";
import { compileFilters, imageAdaptor } from "@ctrd/core/filters";
import type { DeleteImageOptions, Image, ImageStore } from "@ctrd/core/images";
import { checkLabels, withoutEmptyLabels } from "@ctrd/core/labels";
import type { Descriptor, Timestamp } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import type { MetadataDb } from "../db/database.ts";
import { checkKeyPart } from "../db/keys.ts";
import { joinLease, leaveLease } from "./lease-resources.ts";

/** The image store. */
export class ImageRecords implements ImageStore {
  readonly #db: MetadataDb;

  constructor(db: MetadataDb) {
    this.#db = db;
  }

  async get(ctx: CallContext, name: string): Promise<Image> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("image name", name);
    const image = this.#db.images.get(namespace, name);
    if (image === undefined) throw notFound(`image "${name}"`);
    return image;
  }

  async list(ctx: CallContext, filters: readonly string[]): Promise<Image[]> {
    const namespace = requireNamespace(ctx);
    const matches = compileFilters(filters);
    return this.#db.images.select([namespace], ctx.signal, (record) => matches(imageAdaptor(record)));
  }

  async create(ctx: CallContext, image: Image, sourceDateEpoch?: Timestamp): Promise<Image> {
    const namespace = requireNamespace(ctx);
    const at = sourceDateEpoch ?? now();
    const record = normalized({ ...image, createdAt: at, updatedAt: at });
    checkImage(record);
    await this.#db.write(() => {
      if (this.#db.images.has(namespace, record.name)) throw alreadyExists(`image "${record.name}"`);
      this.#db.ensureNamespace(namespace);
      joinLease(this.#db, ctx, namespace, "images", record.name);
      this.#db.images.put(record, namespace, record.name);
    });
    return record;
  }

  async update(ctx: CallContext, image: Image, mask: readonly string[], sourceDateEpoch?: Timestamp): Promise<Image> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("image name", image.name);
    return this.#db.write(() => {
      const current = this.#db.images.get(namespace, image.name);
      if (current === undefined) throw notFound(`image "${image.name}"`);
      const changed = { ...applyMask(current, image, mask), updatedAt: sourceDateEpoch ?? now() };
      const record = normalized(changed);
      checkImage(record);
      this.#db.images.put(record, namespace, record.name);
      return record;
    });
  }

  async delete(ctx: CallContext, name: string, options: DeleteImageOptions = {}): Promise<void> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("image name", name);
    await this.#db.write((scope) => {
      const current = this.#db.images.get(namespace, name);
      if (current === undefined) throw notFound(`image "${name}"`);
      const { target } = options;
      if (target !== undefined && target.digest !== current.target?.digest) {
        throw notFound(`delete image "${name}": it has the target ${current.target?.digest}, not ${target.digest}`);
      }
      this.#db.images.remove(namespace, name);
      leaveLease(this.#db, ctx, namespace, "images", name);
      scope.dirty();
    });
  }
}

function normalized(image: Image): Image {
  return { ...image, labels: withoutEmptyLabels(image.labels) };
}

function checkImage({ name, labels, target }: Image): void {
  checkKeyPart("image name", name);
  checkLabels(labels);
  if (target === undefined) throw invalidArgument(`image "${name}" must have a target`);
  try {
    parseDigest(target.digest);
  } catch (error) {
    throw invalidArgument(`image "${name}": target ${messageOf(error)}`, { cause: error });
  }
  if (target.size <= 0n) throw invalidArgument(`image "${name}": target size ${target.size} must be positive`);
  if (target.mediaType === "") throw invalidArgument(`image "${name}": target media type must not be empty`);
}

function applyMask(current: Image, wanted: Image, mask: readonly string[]): Image {
  if (mask.length === 0) return { ...wanted, createdAt: current.createdAt };
  let image: Image = { ...current, labels: new Map(current.labels) };
  for (const path of mask) image = applyPath(image, wanted, path);
  return image;
}

function applyPath(image: Image, wanted: Image, path: string): Image {
  switch (path) {
    case "labels":
      return { ...image, labels: new Map(wanted.labels) };
    case "target":
      return { ...image, target: wanted.target };
    case "annotations":
      return { ...image, target: withAnnotations(image.target, new Map(wanted.target?.annotations)) };
  }
  const label = maskedKey(path, "labels");
  if (label !== undefined) {
    return { ...image, labels: new Map(image.labels).set(label, wanted.labels.get(label) ?? "") };
  }
  const annotation = maskedKey(path, "annotations");
  if (annotation === undefined) {
    throw invalidArgument(`update image "${image.name}": field "${path}" cannot be changed`);
  }
  const annotations = new Map(image.target?.annotations);
  const value = wanted.target?.annotations.get(annotation) ?? "";
  if (value === "") annotations.delete(annotation);
  else annotations.set(annotation, value);
  return { ...image, target: withAnnotations(image.target, annotations) };
}

function withAnnotations(target: Descriptor | undefined, annotations: Map<string, string>): Descriptor | undefined {
  return target === undefined ? undefined : { ...target, annotations };
}
