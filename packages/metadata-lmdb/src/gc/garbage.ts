/**
 * What backends may hold that no metadata names any more. Metadata writes add to it, the clean-up after a collection
 * takes from it. It lives in memory: the first collection of a run lists the backends instead.
 */
export class Garbage {
  readonly #blobs = new Set<string>();
  readonly #ingests = new Set<string>();
  readonly #snapshots = new Map<string, Set<string>>();

  /** A digest that a namespace let go of. */
  addBlob(digest: string): void {
    this.#blobs.add(digest);
  }

  /** A backend ref. */
  addIngest(backendRef: string): void {
    this.#ingests.add(backendRef);
  }

  /** A backend key of `snapshotter`. */
  addSnapshot(snapshotter: string, backendKey: string): void {
    const keys = this.#snapshots.get(snapshotter);
    if (keys === undefined) this.#snapshots.set(snapshotter, new Set([backendKey]));
    else keys.add(backendKey);
  }

  /** Takes all digests out. */
  takeBlobs(): string[] {
    return take(this.#blobs);
  }

  /** Takes all backend refs out. */
  takeIngests(): string[] {
    return take(this.#ingests);
  }

  /** Takes all backend keys of `snapshotter` out. */
  takeSnapshots(snapshotter: string): string[] {
    const keys = this.#snapshots.get(snapshotter);
    return keys === undefined ? [] : take(keys);
  }
}

function take(set: Set<string>): string[] {
  const taken = [...set];
  set.clear();
  return taken;
}
