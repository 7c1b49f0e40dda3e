/** A file that an executable unpacks. */
export interface PackedFile {
  /** Path below the directory of the bundle; also the name of the asset. */
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** Name of the asset that lists the others, as JSON of {@link PackedFile}s. */
export const indexAsset = "ctrd-index.json";

/** Directory of everything that is unpacked, in the directory of one executable. */
export const bundleDirectory = "ctrd-bundle";
