/**
 * What takes space in a namespace, and which images share it.
 *
 * @module
 */
import type { HeldObject, ReferenceGraph } from "@ctrd/client";
import { referenceGraph } from "@ctrd/client";
import { Turns } from "@ctrd/images";
import type { Session } from "../session.ts";
import { sizeOf } from "./explain.ts";

/** What one image, by whatever names, takes. Bytes. */
export interface ImageUsage {
  readonly names: readonly string[];
  readonly digest: string;
  readonly content: bigint;
  readonly snapshots: bigint;
  /** Of both, what other images use as well. */
  readonly shared: bigint;
  /** Of both, what no other image uses. */
  readonly exclusive: bigint;
  /** Containers that were made of it. */
  readonly containers: number;
}

/** What a lease keeps. Bytes. */
export interface LeaseUsage {
  readonly lease: HeldObject;
  readonly objects: number;
  readonly size: bigint;
  /** What nothing but this lease keeps. */
  readonly exclusive: bigint;
}

/** A namespace with the sizes of what is in it. */
export interface NamespaceUsage {
  readonly graph: ReferenceGraph;
  readonly images: readonly ImageUsage[];
  readonly leases: readonly LeaseUsage[];
  /** Bytes of an object of its own. */
  sizeOf(object: HeldObject | undefined): bigint;
  /** Bytes of all objects that are given. */
  sum(objects: Iterable<HeldObject>): bigint;
}

/** Calls under way for sizes of snapshots. */
const atOnce = 16;

/** Measures a namespace. */
export async function measureNamespace(session: Session): Promise<NamespaceUsage> {
  const graph = await referenceGraph(session.client, { signal: session.signal });
  const sizes = new Map<HeldObject, bigint>();
  const turns = new Turns(atOnce);
  const measure = async (object: HeldObject): Promise<void> => {
    sizes.set(object, (await turns.run(() => sizeOf(session, object, session.client))) ?? 0n);
  };
  await Promise.all(Array.from(graph.objects(), measure));
  const size = (object: HeldObject | undefined): bigint => (object === undefined ? 0n : (sizes.get(object) ?? 0n));
  const sum = (objects: Iterable<HeldObject>): bigint => Array.from(objects).reduce((all, one) => all + size(one), 0n);
  const containers = await session.containers.list(session.ctx, []);
  const madeOf = containers.map(({ image }) => image);
  return { graph, images: imagesOf(graph, madeOf, sum), leases: leasesOf(graph, sum), sizeOf: size, sum };
}

type Sum = NamespaceUsage["sum"];

function imagesOf(graph: ReferenceGraph, madeOf: readonly string[], sum: Sum): ImageUsage[] {
  const groups = new Map<string, HeldObject[]>();
  for (const object of graph.objects()) {
    const target = object.kind === "image" ? object.refs[0]?.to.id : undefined;
    if (target !== undefined) groups.set(target, [...(groups.get(target) ?? []), object]);
  }
  const reached = new Map<string, HeldObject[]>();
  const uses = new Map<HeldObject, number>();
  for (const [digest, images] of groups) {
    const objects = graph.reachableFrom(images).filter(takesSpace);
    reached.set(digest, objects);
    for (const object of objects) uses.set(object, (uses.get(object) ?? 0) + 1);
  }
  return [...groups].map(([digest, images]) => {
    const objects = reached.get(digest) ?? [];
    const names = images.map(({ id }) => id);
    return {
      names,
      digest,
      content: sum(objects.filter(({ kind }) => kind === "content")),
      snapshots: sum(objects.filter(({ kind }) => kind === "snapshot")),
      shared: sum(objects.filter((object) => (uses.get(object) ?? 0) > 1)),
      exclusive: sum(objects.filter((object) => uses.get(object) === 1)),
      containers: madeOf.filter((name) => names.includes(name)).length,
    };
  });
}

function takesSpace({ kind }: HeldObject): boolean {
  return kind === "content" || kind === "snapshot" || kind === "ingest";
}

function leasesOf(graph: ReferenceGraph, sum: Sum): LeaseUsage[] {
  const leases = [...graph.objects()].filter(({ kind }) => kind === "lease");
  return leases.map((lease) => {
    const objects = graph.reachableFrom([lease]).filter(takesSpace);
    const only = objects.filter((object) => graph.holdersOf(object).every(([root]) => root?.object === lease));
    return { lease, objects: objects.length, size: sum(objects), exclusive: sum(only) };
  });
}
