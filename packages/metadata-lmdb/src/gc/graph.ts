/**
 * The reference graph: scanned in slices while calls go on, kept right by what they touch (see `collector.ts`).
 */
import type { Table } from "../db/table.ts";
import type { FactScope, NodeFacts } from "./facts.ts";
import { factsOf } from "./facts.ts";
import type { NodeKind } from "./nodes.ts";
import { nodeOf } from "./nodes.ts";
import type { Slices } from "./slices.ts";

/** Keys taken from a table at once. */
const pageSize = 128;

export class Graph {
  readonly #scope: FactScope;
  readonly #facts = new Map<string, NodeFacts>();
  readonly #backRefs = new Map<string, string[]>();
  readonly #marked = new Set<string>();
  readonly #flat = new Set<string>();
  readonly #gray: string[] = [];
  readonly #grayFlat: string[] = [];
  readonly #candidates: string[] = [];

  constructor(scope: FactScope) {
    this.#scope = scope;
  }

  /** Reads all records. What is written meanwhile may or may not be seen. */
  async scan(slices: Slices): Promise<void> {
    const { db } = this.#scope;
    await this.#scanTable(db.leases, "lease", slices);
    await this.#scanTable(db.images, "image", slices);
    await this.#scanTable(db.containers, "container", slices);
    await this.#scanTable(db.sandboxes, "sandbox", slices);
    await this.#scanTable(db.ingests, "ingest", slices);
    await this.#scanTable(db.blobs, "content", slices);
    await this.#scanTable(db.snapshots, "snapshot", slices);
  }

  /** Follows the edges from all roots. */
  async mark(slices: Slices): Promise<void> {
    while (this.#step(1000)) await slices.yield();
  }

  /** Takes in records that were written since the scan, and what they keep. Reads the database; synchronous. */
  touch(nodes: Iterable<string>): void {
    for (const node of nodes) {
      this.#read(node);
      // Marked before, its edges may be new; not marked, it is kept this time, whether something keeps it or not.
      this.#marked.add(node);
      this.#spread(node);
    }
    while (this.#step(Number.POSITIVE_INFINITY));
  }

  isKept(node: string): boolean {
    return this.#marked.has(node) || this.#flat.has(node);
  }

  /**
   * What nothing keeps, referrers before what they refer to: when the list is worked off in parts, whatever of it
   * comes back to life in between still has all that it refers to.
   */
  async garbage(slices: Slices): Promise<string[]> {
    const done = new Set<string>();
    const postorder: string[] = [];
    for (const [i, node] of this.#candidates.entries()) {
      if (i % 1000 === 0) await slices.yield();
      if (this.isKept(node) || done.has(node)) continue;
      this.#visit(node, done, postorder);
      await slices.yield();
    }
    return postorder.reverse();
  }

  async #scanTable(table: Table<unknown>, kind: NodeKind, slices: Slices): Promise<void> {
    const collectable = kind !== "container" && kind !== "sandbox";
    let after: string[] | undefined;
    for (;;) {
      const keys = table.keyPage(after, pageSize);
      for (const key of keys) {
        const node = nodeOf(kind, key);
        if (collectable) this.#candidates.push(node);
        if (this.#read(node)?.root === true) this.#gray.push(node);
      }
      await slices.yield();
      if (keys.length < pageSize) return;
      after = keys.at(-1);
    }
  }

  #read(node: string): NodeFacts | undefined {
    const facts = factsOf(this.#scope, node);
    if (facts === undefined) {
      this.#facts.delete(node);
      return undefined;
    }
    this.#facts.set(node, facts);
    for (const parent of facts.parents) {
      const children = this.#backRefs.get(parent);
      if (children === undefined) this.#backRefs.set(parent, [node]);
      else children.push(node);
    }
    return facts;
  }

  /** Marks up to `limit` nodes; false when there is none left. */
  #step(limit: number): boolean {
    for (let i = 0; i < limit; i++) {
      const node = this.#gray.pop();
      if (node !== undefined) {
        if (this.#marked.has(node)) continue;
        this.#marked.add(node);
        this.#spread(node);
        continue;
      }
      const flat = this.#grayFlat.pop();
      if (flat === undefined) return false;
      if (this.#flat.has(flat)) continue;
      this.#flat.add(flat);
      this.#grayFlat.push(...(this.#facts.get(flat)?.flatRefs ?? []));
    }
    return true;
  }

  #spread(node: string): void {
    const facts = this.#facts.get(node);
    if (facts !== undefined) {
      for (const ref of facts.refs) this.#gray.push(ref);
      for (const ref of facts.flatRefs) this.#grayFlat.push(ref);
    }
    for (const child of this.#backRefs.get(node) ?? []) this.#gray.push(child);
  }

  /** Depth-first from `start` over what nothing keeps, without recursion: chains may be long. */
  #visit(start: string, done: Set<string>, postorder: string[]): void {
    done.add(start);
    const stack = [{ node: start, edges: this.#edges(start), at: 0 }];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.edges[top.at++];
      if (next === undefined) {
        postorder.push(top.node);
        stack.pop();
      } else if (!done.has(next) && !this.isKept(next) && this.#facts.has(next)) {
        done.add(next);
        stack.push({ node: next, edges: this.#edges(next), at: 0 });
      }
    }
  }

  #edges(node: string): string[] {
    const facts = this.#facts.get(node);
    return [...(facts?.refs ?? []), ...(facts?.flatRefs ?? []), ...(this.#backRefs.get(node) ?? [])];
  }
}
