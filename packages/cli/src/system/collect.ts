/**
 * Collections: what one would remove, and what one has removed, over all namespaces of a daemon.
 *
 * @module
 */
import type { HeldObject, ObjectKind, ReferenceGraph } from "@ctrd/client";
import { referenceGraph } from "@ctrd/client";
import type { Session } from "../session.ts";
import { sizeOf } from "./explain.ts";
import { nameOfObject } from "./held-names.ts";

/** An object that a collection takes. */
export interface Collected {
  readonly namespace: string;
  readonly object: HeldObject;
  /** Bytes that go with it; 0 for blobs that another namespace keeps. */
  readonly size: bigint;
  readonly why: string;
}

/** Everything there is, and what of it nothing keeps. */
export interface Garbage {
  readonly graphs: readonly ReferenceGraph[];
  readonly collected: readonly Collected[];
}

/** What a collection would remove now. It goes over all namespaces, as the daemon's does. */
export async function findGarbage(session: Session): Promise<Garbage> {
  const graphs = await readGraphs(session);
  const kept = new Set(graphs.flatMap((graph) => keptDigests(graph)));
  const collected: Collected[] = [];
  const counted = new Set<string>();
  for (const graph of graphs) {
    for (const object of graph.garbage()) {
      const shared = object.kind === "content" && (kept.has(object.id) || counted.has(object.id));
      if (object.kind === "content") counted.add(object.id);
      const size = shared ? 0n : await sizeIn(session, graph.namespace, object);
      collected.push({ namespace: graph.namespace, object, size, why: reasonOf(graph, object) });
    }
  }
  return { graphs, collected };
}

async function readGraphs(session: Session): Promise<ReferenceGraph[]> {
  const { client, ctx, signal } = session;
  const graphs: ReferenceGraph[] = [];
  for (const { name } of await session.namespaces.list(ctx)) {
    graphs.push(await referenceGraph(client.inNamespace(name), { signal }));
  }
  return graphs;
}

function keptDigests(graph: ReferenceGraph): string[] {
  return [...graph.objects()].filter((one) => one.kind === "content" && graph.isKept(one)).map(({ id }) => id);
}

async function sizeIn(session: Session, namespace: string, object: HeldObject): Promise<bigint> {
  return (await sizeOf(session, object, session.client.inNamespace(namespace))) ?? 0n;
}

function reasonOf(graph: ReferenceGraph, object: HeldObject): string {
  if (object.kind === "lease" || object.kind === "image") return expiry(object);
  const referrers = graph.referrersOf(object).map(({ from }) => nameOfObject(from));
  if (referrers.length > 0) return `only ${referrers[0]} refers to it, which goes as well`;
  return object.kind === "ingest" ? `no lease has it; ${expiry(object)}` : "nothing refers to it";
}

function expiry({ expiresAt }: HeldObject): string {
  return expiresAt === undefined ? "it has ended" : `expired at ${new Date(expiresAt).toISOString()}`;
}

/** What a collection has done. */
export interface CollectionResult {
  readonly removed: readonly Collected[];
  readonly millis: number;
}

/** An hour, in case this program dies in between. */
const leaseMs = 3_600_000;

/**
 * Has the daemon collect, and tells what is gone afterwards, whoever removed it.
 *
 * @param work what is done before; what it removes is counted as well
 */
export async function collectGarbage(session: Session, work?: () => Promise<void>): Promise<CollectionResult> {
  const before = await findGarbage(session);
  const sizes = work === undefined ? new Map<string, bigint>() : await snapshotSizes(session, before.graphs);
  await work?.();
  const lease = await session.client.createLease({ expiresInMs: leaseMs, signal: session.signal });
  const begin = performance.now();
  // Deleting a lease is the one thing that waits for a collection in every version of every daemon.
  await lease.delete({ sync: true, signal: session.signal });
  const millis = performance.now() - begin;
  return { removed: removedSince(before, await readGraphs(session), sizes), millis };
}

async function snapshotSizes(session: Session, graphs: readonly ReferenceGraph[]): Promise<Map<string, bigint>> {
  const sizes = new Map<string, bigint>();
  for (const graph of graphs) {
    for (const object of graph.objects()) {
      if (object.kind !== "snapshot") continue;
      sizes.set(keyOf(graph.namespace, object), await sizeIn(session, graph.namespace, object));
    }
  }
  return sizes;
}

function removedSince(
  before: Garbage,
  after: readonly ReferenceGraph[],
  sizes: ReadonlyMap<string, bigint>,
): Collected[] {
  const planned = new Map(before.collected.map((one) => [keyOf(one.namespace, one.object), one]));
  const left = new Set(after.flatMap((graph) => keysOf(graph)));
  // A blob takes no space of its own while another namespace has it.
  const blobs = new Set(after.flatMap((graph) => [...graph.objects()].map(({ id }) => id)));
  const removed: Collected[] = [];
  for (const { namespace, object } of before.graphs.flatMap(allOf)) {
    const key = keyOf(namespace, object);
    if (left.has(key)) continue;
    const shared = object.kind === "content" && blobs.has(object.id);
    blobs.add(object.id);
    const size = shared ? 0n : (object.size ?? planned.get(key)?.size ?? sizes.get(key) ?? 0n);
    removed.push({ namespace, object, size, why: planned.get(key)?.why ?? "let go of meanwhile" });
  }
  return removed;
}

function allOf(graph: ReferenceGraph): { namespace: string; object: HeldObject }[] {
  return Array.from(graph.objects(), (object) => ({ namespace: graph.namespace, object }));
}

function keysOf(graph: ReferenceGraph): string[] {
  return [...graph.objects()].map((object) => keyOf(graph.namespace, object));
}

function keyOf(namespace: string, { kind, snapshotter, id }: HeldObject): string {
  return [namespace, kind, snapshotter, id].join("\0");
}

/** Kinds in the order in which they are counted. */
export const countedKinds: readonly ObjectKind[] = ["image", "content", "snapshot", "ingest", "lease", "container"];

/** The sum of sizes. */
export function bytesOf(collected: readonly Collected[]): bigint {
  return collected.reduce((sum, { size }) => sum + size, 0n);
}
