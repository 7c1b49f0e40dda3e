type KillListener = (namespace: string, containerId: string) => void;

/** Who wants to know that clients send signals to init processes. */
export class KillListeners {
  readonly #listeners = new Set<KillListener>();

  /** @returns takes the listener away */
  add(listener: KillListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  tell(namespace: string, containerId: string): void {
    for (const listener of this.#listeners) listener(namespace, containerId);
  }
}
