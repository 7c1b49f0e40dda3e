/**
 * The reference graph of a namespace: what keeps what, and what nothing keeps.
 */
import type { HeldObject, HeldReference, ObjectId } from "./objects.ts";
import { objectKey } from "./objects.ts";

/** A step of a chain: an object, and why the one before keeps it. */
export interface ChainStep {
  readonly object: HeldObject;
  /** Empty for the first one. */
  readonly via: string;
}

/** From a root down to the object that was asked for; the shortest of the ways from that root. */
export type HoldingChain = readonly ChainStep[];

interface Edge {
  readonly from: HeldObject;
  readonly via: string;
  readonly flat: boolean;
}

/** What keeps what in one namespace, as it was when it was read. */
export class ReferenceGraph {
  readonly namespace: string;
  readonly #objects = new Map<string, HeldObject>();
  /** Object → what refers to it. */
  readonly #referrers = new Map<string, Edge[]>();
  /** Object → what has a label that makes it its keeper. */
  readonly #children = new Map<string, HeldReference[]>();
  #kept: ReadonlySet<string> | undefined;

  /** @internal */
  constructor(namespace: string, objects: Iterable<HeldObject>) {
    this.namespace = namespace;
    for (const object of objects) this.#objects.set(objectKey(object), object);
    for (const object of this.#objects.values()) this.#addEdges(object);
  }

  #addEdges(object: HeldObject): void {
    for (const { to, via, flat } of object.refs) append(this.#referrers, objectKey(to), { from: object, via, flat });
    for (const { to: parent, via } of object.parents) {
      const from = this.#objects.get(objectKey(parent));
      if (from === undefined) continue;
      append(this.#referrers, objectKey(object), { from, via, flat: false });
      append(this.#children, objectKey(parent), { to: object, via, flat: false });
    }
  }

  /** Everything there is. */
  objects(): IterableIterator<HeldObject> {
    return this.#objects.values();
  }

  get(id: ObjectId): HeldObject | undefined {
    return this.#objects.get(objectKey(id));
  }

  /** Objects that `id` keeps directly and that are there. */
  referencesOf(id: ObjectId): HeldReference[] {
    const refs = this.get(id)?.refs ?? [];
    return [...refs, ...(this.#children.get(objectKey(id)) ?? [])].filter(({ to }) => this.get(to) !== undefined);
  }

  /** What refers to `id` directly, whether something keeps that or not. */
  referrersOf(id: ObjectId): { readonly from: HeldObject; readonly via: string }[] {
    return (this.#referrers.get(objectKey(id)) ?? []).map(({ from, via }) => ({ from, via }));
  }

  /** One chain for each root that keeps `id`, shortest first; the first is the object itself when it is a root. */
  holdersOf(id: ObjectId): HoldingChain[] {
    const target = this.get(id);
    if (target === undefined) return [];
    const chains: HoldingChain[] = [];
    const reported = new Set<string>();
    const seen = new Set<string>();
    const queue: State[] = [
      { object: target, flat: false },
      { object: target, flat: true },
    ];
    // Backwards, breadth first. A flat state is reached only over references that flat leases follow.
    for (let at = 0; at < queue.length; at++) {
      const state = queue[at];
      if (state === undefined) break;
      const { object, flat } = state;
      const key = objectKey(object);
      if (seen.has(`${flat}${key}`)) continue;
      seen.add(`${flat}${key}`);
      if (!flat && object.root !== undefined && !object.flatLease && !reported.has(key)) {
        reported.add(key);
        chains.push(chainOf(state));
      }
      for (const edge of this.#referrers.get(key) ?? []) this.#goUp(queue, state, edge, chains, reported);
    }
    return chains;
  }

  #goUp(queue: State[], state: State, edge: Edge, chains: HoldingChain[], reported: Set<string>): void {
    const next: State = { object: edge.from, flat: state.flat, before: state, via: edge.via };
    if (edge.from.flatLease) {
      // Its end of a flat way; whatever is kept deeply is kept by something else.
      const key = objectKey(edge.from);
      if (!state.flat || edge.from.root === undefined || reported.has(key)) return;
      reported.add(key);
      chains.push(chainOf(next));
    } else if (!state.flat || edge.flat) {
      queue.push(next);
    }
  }

  /** Whether a collection would leave it. */
  isKept(id: ObjectId): boolean {
    this.#kept ??= this.#mark();
    return this.#kept.has(objectKey(id));
  }

  /** What a collection would remove: everything that nothing keeps. */
  garbage(): HeldObject[] {
    return [...this.#objects.values()].filter((object) => !isPermanent(object) && !this.isKept(object));
  }

  /** Everything that `roots` keep, themselves included, whether they are roots or not. */
  reachableFrom(roots: Iterable<ObjectId>): HeldObject[] {
    const reached = this.#follow([...roots].flatMap((id) => this.get(id) ?? []));
    return [...this.#objects].filter(([key]) => reached.has(key)).map(([, object]) => object);
  }

  #mark(): Set<string> {
    const roots = [...this.#objects.values()].filter(({ root }) => root !== undefined);
    return this.#follow(roots);
  }

  #follow(roots: readonly HeldObject[]): Set<string> {
    const deep = new Set<string>();
    const flat = new Set<string>();
    const queue: State[] = roots.map((object) => ({ object, flat: false }));
    for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
      const key = objectKey(state.object);
      const seen = state.flat ? flat : deep;
      if (seen.has(key)) continue;
      seen.add(key);
      const isFlat = state.flat || state.object.flatLease;
      const refs = isFlat ? state.object.refs.filter((ref) => ref.flat) : this.referencesOf(state.object);
      for (const { to } of refs) {
        const object = this.get(to);
        if (object !== undefined) queue.push({ object, flat: isFlat });
      }
    }
    return new Set([...deep, ...flat]);
  }
}

interface State {
  readonly object: HeldObject;
  /** Kept without what its labels refer to. */
  readonly flat: boolean;
  /** The step nearer to the object that was asked for, and why this one keeps that. */
  readonly before?: State;
  readonly via?: string;
}

function chainOf(root: State): HoldingChain {
  const chain: ChainStep[] = [];
  let via = "";
  for (let state: State | undefined = root; state !== undefined; state = state.before) {
    chain.push({ object: state.object, via });
    via = state.via ?? "";
  }
  return chain;
}

/** Containers and sandboxes are never collected. */
function isPermanent({ kind }: ObjectId): boolean {
  return kind === "container" || kind === "sandbox";
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
