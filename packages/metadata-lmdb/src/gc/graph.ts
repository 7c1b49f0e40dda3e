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
    const facts = factsOf(this.#scope, node);
    if (facts === undefined) this.#facts.delete(node);
    else this.#take(node, facts);
    // Marked before, its edges may be new; not marked, it is kept this time, whether something keeps it or not.
    this.#marked.add(node);
    this.#spread(node);
  }

  /** Marks some of what the marked nodes keep. Until it returns true, `isKept` does not tell the whole truth. */
  follow(): boolean {
    return !this.#step(batch);
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
      if (i % batch === 0) await slices.yield();
      if (!this.isKept(node) && !done.has(node)) await this.#visit(node, done, postorder, slices);
    }
    return postorder.reverse();
  }

  /** A lease may hold more than can be read at once: its resources are not read with it but page by page. */
  async #scanLeases(slices: Slices): Promise<void> {
    const { db } = this.#scope;
    const holds = new Map<string, "deep" | "flat">();
    for await (const key of pagedKeys(db.leases, slices)) {
      const node = nodeOf("lease", key);
      this.#candidates.push(node);
      const hold = leaseHold(this.#scope, key);
      if (hold === undefined) continue;
      holds.set(node, hold);
      this.#marked.add(node);
    }
    for await (const key of pagedKeys(db.leaseResources, slices)) {
      const hold = holds.get(nodeOf("lease", key.slice(0, 2)));
      if (hold === "deep") this.#gray.push(leasedBy(key));
      if (hold === "flat") this.#grayFlat.push(leasedBy(key));
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
        const node = nodeOf(kind, key);
        const facts = factsOfRecord(this.#scope, kind, key, bytes);
        if (collectable) this.#candidates.push(node);
        if (facts.root) this.#gray.push(node);
        this.#take(node, facts);
      }
      after = rows.at(-1)?.key;
      await slices.yield();
    } while (rows.length === pageSize);
  }

  #take(node: string, facts: NodeFacts): void {
    this.#facts.set(node, facts);
    for (const parent of facts.parents) {
      const children = this.#backRefs.get(parent);
      if (children === undefined) this.#backRefs.set(parent, [node]);
      else children.push(node);
    }
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
      for (const ref of this.#facts.get(flat)?.flatRefs ?? []) this.#grayFlat.push(ref);
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
  async #visit(start: string, done: Set<string>, postorder: string[], slices: Slices): Promise<void> {
    done.add(start);
    const stack = [{ node: start, edges: this.#edges(start), at: 0 }];
    let steps = 0;
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      if (++steps % batch === 0) await slices.yield();
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
