/** Containers in memory, by id and by pod. */
import type { Container } from "../containers/container.ts";
import { Records } from "./records.ts";

/** Containers by id, and those of each pod. */
export class ContainerRecords extends Records<Container> {
  readonly #bySandbox = new Map<string, Set<Container>>();

  constructor() {
    super("container");
  }

  override add(container: Container): void {
    super.add(container);
    const { sandboxId } = container.metadata;
    const siblings = this.#bySandbox.get(sandboxId) ?? new Set();
    this.#bySandbox.set(sandboxId, siblings.add(container));
  }

  override delete(id: string): void {
    const container = this.find(id);
    super.delete(id);
    if (container === undefined) return;
    const siblings = this.#bySandbox.get(container.metadata.sandboxId);
    siblings?.delete(container);
    if (siblings?.size === 0) this.#bySandbox.delete(container.metadata.sandboxId);
  }

  /** The containers of a pod. */
  ofSandbox(sandboxId: string): Container[] {
    return [...(this.#bySandbox.get(sandboxId) ?? [])];
  }
}
