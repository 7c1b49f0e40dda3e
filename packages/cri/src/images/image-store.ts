/**
 * The images of the namespace in memory: lookups and lists read no database.
 *
 * @module
 */
import { invalidArgument, notFound } from "@ctrd/core/errors";
import { completeReference } from "@ctrd/core/references";
import type { CriImage, ReadImage } from "./cri-image.ts";

/** Images by id and by name. */
export class ImageStore {
  readonly #images = new Map<string, CriImage>();
  /** Names → ids. */
  readonly #names = new Map<string, string>();

  /** Every image, in the order in which they came. */
  list(): CriImage[] {
    return [...this.#images.values()];
  }

  /** Notes that the record `name` points at `image`, whose own references are not looked at. */
  set(name: string, image: ReadImage, pinned: boolean): void {
    if (this.#names.get(name) !== image.id) this.delete(name);
    this.#names.set(name, image.id);
    const known = this.#images.get(image.id);
    const references = new Set(known?.references).add(name);
    this.#images.set(image.id, {
      ...image,
      references: [...references],
      pinned: pinned || (known?.pinned ?? false),
    });
  }

  /** Forgets a name, and the image with its last one. */
  delete(name: string): void {
    const id = this.#names.get(name);
    const image = id === undefined ? undefined : this.#images.get(id);
    this.#names.delete(name);
    if (image === undefined) return;
    const references = image.references.filter((reference) => reference !== name);
    if (references.length === 0) this.#images.delete(image.id);
    else this.#images.set(image.id, { ...image, references });
  }

  /** The image that a record points at. */
  byName(name: string): CriImage | undefined {
    const id = this.#names.get(name);
    return id === undefined ? undefined : this.#images.get(id);
  }

  /**
   * Finds an image by id, by the beginning of its id, or by any form of a name.
   *
   * @returns undefined when there is none
   * @throws ContainerdError `invalid-argument` when the beginning of an id fits several images
   */
  find(wanted: string): CriImage | undefined {
    const exact = this.byName(wanted) ?? this.#images.get(wanted);
    if (exact !== undefined) return exact;
    const hex = wanted.replace(/^sha256:/, "");
    if (hex.length === 64 && wanted.startsWith("sha256:")) return undefined;
    const named = wanted.startsWith("sha256:") ? undefined : this.#byReference(wanted);
    return named ?? (/^[0-9a-f]{1,64}$/.test(hex) ? this.#byPrefix(hex) : undefined);
  }

  /** As {@link find}. @throws ContainerdError `not-found` */
  get(wanted: string): CriImage {
    const image = this.find(wanted);
    if (image === undefined) throw notFound(`image "${wanted}"`);
    return image;
  }

  #byReference(wanted: string): CriImage | undefined {
    let name: string;
    try {
      name = completeReference(wanted);
    } catch {
      // Not a reference: an id then, or nothing.
      return undefined;
    }
    return this.byName(name);
  }

  #byPrefix(hex: string): CriImage | undefined {
    const found = this.list().filter(({ id }) => id.startsWith(`sha256:${hex}`));
    if (found.length > 1) throw invalidArgument(`image id "${hex}" fits ${found.length} images; write more of it`);
    return found[0];
  }
}
