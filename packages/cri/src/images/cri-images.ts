/** What CRI knows of images. */
export interface CriImages {
  readonly snapshotter: string;
}
