/**
 * The reference graph: scanned in slices while calls go on, kept right by what they touch (see `collector.ts`).
 */
import type { StoredRow, Table } from "../db/table.ts";
import type { FactScope, NodeFacts } from "./facts.ts";
import { factsOf, factsOfRecord, leasedBy, leaseHold, tableOf } from "./facts.ts";
import type { NodeKind } from "./nodes.ts";
import { nodeOf } from "./nodes.ts";
import type { Slices } from "./slices.ts";

/** Keys taken from a table at once. */
const pageSize = 64;
/** Steps of a walk between two looks at the clock. */
const batch = 200;

/** A node as far as it is known: one look-up by its name tells all, where sets of names would take several. */
interface Vertex {
  readonly node: string;
  /** Undefined without a record, or before it was read. */
  facts: NodeFacts | undefined;
  /** Kept, and what it keeps as well. */
  isMarked: boolean;
  /** Kept, without what its labels name. */
  isFlat: boolean;
  /** Visited in search of an order of removal. */
  isOrdered: boolean;
  /** What names this node as its parent. */
  children: Vertex[] | undefined;
}

export class Graph {
  readonly #scope: FactScope;
  readonly #vertices = new Map<string, Vertex>();
  readonly #gray: Vertex[] = [];
  readonly #grayFlat: Vertex[] = [];
  readonly #candidates: Vertex[] = [];

  constructor(scope: FactScope) {
    this.#scope = scope;
  }

  /** Reads all records. What is written meanwhile may or may not be seen. */
  async scan(slices: Slices): Promise<void> {
    await this.#scanLeases(slices);
    await this.#scanTable("image", slices);
    await this.#scanTable("container", slices);
    await this.#scanTable("sandbox", slices);
    await this.#scanTable("ingest", slices);
    await this.#scanTable("content", slices);
    await this.#scanTable("snapshot", slices);
  }

  /** Follows the edges from all roots. */
  async mark(slices: Slices): Promise<void> {
    while (!this.follow()) await slices.yield();
  }

  /** Takes in a record that was written since the scan. Reads the database. What it keeps is marked by `follow`. */
  touch(node: string): void {
    const vertex = this.#vertex(node);
    const facts = factsOf(this.#scope, node);
    if (facts === undefined) vertex.facts = undefined;
    else this.#take(vertex, facts);
    // Marked before, its edges may be new; not marked, it is kept this time, whether something keeps it or not.
    vertex.isMarked = true;
    this.#spread(vertex);
  }

  /** Marks some of what the marked nodes keep. Until it returns true, `isKept` does not tell the whole truth. */
  follow(): boolean {
    return !this.#step(batch);
  }

  isKept(node: string): boolean {
    const vertex = this.#vertices.get(node);
    return vertex !== undefined && isKept(vertex);
  }

  /**
   * What nothing keeps, referrers before what they refer to: when the list is worked off in parts, whatever of it
   * comes back to life in between still has all that it refers to.
   */
  async garbage(slices: Slices): Promise<string[]> {
    const postorder: string[] = [];
    for (const [i, vertex] of this.#candidates.entries()) {
      if (i % batch === 0) await slices.yield();
      if (!isKept(vertex) && !vertex.isOrdered) await this.#visit(vertex, postorder, slices);
    }
    return postorder.reverse();
  }

  #vertex(node: string): Vertex {
    let vertex = this.#vertices.get(node);
    if (vertex === undefined) {
      vertex = { node, facts: undefined, isMarked: false, isFlat: false, isOrdered: false, children: undefined };
      this.#vertices.set(node, vertex);
    }
    return vertex;
  }

  /** A lease may hold more than can be read at once: its resources are not read with it but page by page. */
  async #scanLeases(slices: Slices): Promise<void> {
    const { db } = this.#scope;
    const holds = new Map<string, "deep" | "flat">();
    for await (const key of pagedKeys(db.leases, slices)) {
      const vertex = this.#vertex(nodeOf("lease", key));
      this.#candidates.push(vertex);
      const hold = leaseHold(this.#scope, key);
      if (hold === undefined) continue;
      holds.set(vertex.node, hold);
      vertex.isMarked = true;
    }
    for await (const key of pagedKeys(db.leaseResources, slices)) {
      const hold = holds.get(nodeOf("lease", key.slice(0, 2)));
      if (hold === "deep") this.#gray.push(this.#vertex(leasedBy(key)));
      if (hold === "flat") this.#grayFlat.push(this.#vertex(leasedBy(key)));
    }
  }

  async #scanTable(kind: NodeKind, slices: Slices): Promise<void> {
    const table = tableOf(this.#scope.db, kind);
    const collectable = kind !== "container" && kind !== "sandbox";
    let rows: StoredRow[];
    let after: string[] | undefined;
    do {
      rows = table.storedPage(after, pageSize);
      for (const { key, bytes } of rows) {
        const vertex = this.#vertex(nodeOf(kind, key));
        const facts = factsOfRecord(this.#scope, kind, key, bytes);
        if (collectable) this.#candidates.push(vertex);
        if (facts.root) this.#gray.push(vertex);
        this.#take(vertex, facts);
      }
      after = rows.at(-1)?.key;
      await slices.yield();
    } while (rows.length === pageSize);
  }

  #take(vertex: Vertex, facts: NodeFacts): void {
    vertex.facts = facts;
    for (const node of facts.parents) {
      const parent = this.#vertex(node);
      if (parent.children === undefined) parent.children = [vertex];
      else parent.children.push(vertex);
    }
  }

  /** Marks up to `limit` nodes; false when there is none left. */
  #step(limit: number): boolean {
    for (let i = 0; i < limit; i++) {
      const vertex = this.#gray.pop();
      if (vertex !== undefined) {
        if (vertex.isMarked) continue;
        vertex.isMarked = true;
        this.#spread(vertex);
        continue;
      }
      const flat = this.#grayFlat.pop();
      if (flat === undefined) return false;
      if (flat.isFlat) continue;
      flat.isFlat = true;
      for (const ref of flat.facts?.flatRefs ?? []) this.#grayFlat.push(this.#vertex(ref));
    }
    return true;
  }

  #spread({ facts, children }: Vertex): void {
    if (facts !== undefined) {
      for (const ref of facts.refs) this.#gray.push(this.#vertex(ref));
      for (const ref of facts.flatRefs) this.#grayFlat.push(this.#vertex(ref));
    }
    for (const child of children ?? []) this.#gray.push(child);
  }

  /** Depth-first from `start` over what nothing keeps, without recursion: chains may be long. */
  async #visit(start: Vertex, postorder: string[], slices: Slices): Promise<void> {
    start.isOrdered = true;
    const stack = [{ vertex: start, edges: this.#edges(start), at: 0 }];
    let steps = 0;
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      if (++steps % batch === 0) await slices.yield();
      const next = top.edges[top.at++];
      if (next === undefined) {
        postorder.push(top.vertex.node);
        stack.pop();
      } else if (!next.isOrdered && !isKept(next) && next.facts !== undefined) {
        next.isOrdered = true;
        stack.push({ vertex: next, edges: this.#edges(next), at: 0 });
      }
    }
  }

  #edges({ facts, children = [] }: Vertex): Vertex[] {
    const named = [...(facts?.refs ?? []), ...(facts?.flatRefs ?? [])].map((node) => this.#vertex(node));
    return [...named, ...children];
  }
}

function isKept({ isMarked, isFlat }: Vertex): boolean {
  return isMarked || isFlat;
}

/** The keys of a table. What is written meanwhile may or may not be among them. */
async function* pagedKeys(table: Table<unknown>, slices: Slices): AsyncGenerator<string[]> {
  let after: string[] | undefined;
  for (;;) {
    const keys = table.keyPage(after, pageSize);
    yield* keys;
    await slices.yield();
    if (keys.length < pageSize) return;
    after = keys.at(-1);
  }
}
