/**
 * `ctrd system df`: what takes space, by kind and by image.
 *
 * @module
 */
import type { HeldObject } from "@ctrd/client";
import { shortReference } from "@ctrd/core/references";
import { nameOf, shortId } from "../containers/labels.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { alignTable, formatRows, toJson } from "../output/format.ts";
import { formatBytes } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { timesOf } from "./held-names.ts";
import type { NamespaceUsage } from "./usage.ts";
import { measureNamespace } from "./usage.ts";
import type { VolumeUsage } from "./volume-usage.ts";
import { measureVolumes } from "./volume-usage.ts";

/** Flags of `ctrd system df`. */
export interface DiskUsageFlags extends OutputFlags {
  verbose?: boolean;
}

interface Row {
  readonly type: string;
  readonly total: number;
  /** Those that something uses: images by containers, containers by a task, the others by what keeps them. */
  readonly active: number;
  readonly size: bigint;
  /** What a collection, or a prune, would free. */
  readonly reclaimable: bigint;
}

const columns: readonly Column<Row>[] = [
  { name: "Type", title: "TYPE", value: ({ type }) => type },
  { name: "Total", title: "TOTAL", value: ({ total }) => total },
  { name: "Active", title: "ACTIVE", value: ({ active }) => active },
  { name: "Size", title: "SIZE", value: ({ size }) => size, text: ({ size }) => formatBytes(size) },
  {
    name: "Reclaimable",
    title: "RECLAIMABLE",
    value: ({ reclaimable }) => reclaimable,
    text: ({ reclaimable }) => formatBytes(reclaimable),
  },
];

/** Runs `ctrd system df`. */
export async function diskUsage(session: Session, flags: DiskUsageFlags): Promise<void> {
  const usage = await measureNamespace(session);
  const { tasks } = await session.tasks.list(session.ctx, { filter: "" });
  // The process of a task that was listed has no container id in old daemons' answers.
  const running = new Set(tasks.flatMap(({ id, containerId }) => [id, containerId]));
  const volumes = await measureVolumes(session);
  const isTable = flags.json !== true && (flags.format ?? "table") === "table";
  if (flags.json === true && flags.verbose === true) {
    process.stdout.write(`${toJson({ ...wholeUsage(usage), Volumes: volumes.map(volumeJson) })}\n`);
    return;
  }
  process.stdout.write(formatRows([...summaryOf(usage, running), summaryOfVolumes(volumes)], columns, flags));
  if (!isTable) return;
  process.stdout.write(section("Images", imageRows(usage)));
  if (flags.verbose !== true) return;
  process.stdout.write(section("Containers", containerRows(usage, running)));
  process.stdout.write(section("Volumes", volumeRows(volumes)));
  process.stdout.write(section("Leases", leaseRows(usage)));
  process.stdout.write(section("Ingests", ingestRows(usage)));
}

function summaryOf(usage: NamespaceUsage, running: ReadonlySet<string>): Row[] {
  const { graph, images, leases } = usage;
  const all = [...graph.objects()];
  const stored = (type: string, objects: readonly HeldObject[]): Row => {
    const kept = objects.filter((object) => graph.isKept(object));
    const size = usage.sum(objects);
    return { type, total: objects.length, active: kept.length, size, reclaimable: size - usage.sum(kept) };
  };
  const ofKind = (kind: string): HeldObject[] => all.filter((object) => object.kind === kind);
  const unused = images.filter(({ containers }) => containers === 0);
  const containers = ofKind("container");
  const stopped = containers.filter(({ id }) => !running.has(id));
  const snapshotters = [...new Set(ofKind("snapshot").map(({ snapshotter }) => snapshotter))];
  return [
    {
      type: "images",
      total: ofKind("image").length,
      active: images.length - unused.length,
      size: imageSize(usage),
      reclaimable: unused.reduce((sum, { exclusive }) => sum + exclusive, 0n),
    },
    {
      type: "containers",
      total: containers.length,
      active: containers.length - stopped.length,
      size: usage.sum(containers.flatMap((one) => layerOf(usage, one) ?? [])),
      reclaimable: usage.sum(stopped.flatMap((one) => layerOf(usage, one) ?? [])),
    },
    stored("content", ofKind("content")),
    ...snapshotters.map((name) =>
      stored(
        `snapshots (${name})`,
        ofKind("snapshot").filter(({ snapshotter }) => snapshotter === name),
      ),
    ),
    stored("ingests", ofKind("ingest")),
    {
      type: "leases",
      total: leases.length,
      active: leases.filter(({ lease }) => lease.root !== undefined).length,
      size: leases.reduce((sum, { size }) => sum + size, 0n),
      reclaimable: leases.reduce((sum, { exclusive }) => sum + exclusive, 0n),
    },
  ];
}

function summaryOfVolumes(volumes: readonly VolumeUsage[]): Row {
  const sum = (some: readonly VolumeUsage[]): bigint => some.reduce((all, { size }) => all + size, 0n);
  const unused = volumes.filter(({ users }) => users.length === 0);
  const active = volumes.length - unused.length;
  return { type: "volumes", total: volumes.length, active, size: sum(volumes), reclaimable: sum(unused) };
}

function volumeRows(volumes: readonly VolumeUsage[]): string[][] {
  return [
    ["VOLUME", "SIZE", "USED BY"],
    ...volumes.map(({ name, size, users }) => [name, formatBytes(size), users.join(", ") || "-"]),
  ];
}

function volumeJson({ name, size, users }: VolumeUsage): Record<string, unknown> {
  return { Name: name, Size: size, Users: users };
}

/** Content and snapshots of all images, each counted once. */
function imageSize({ graph, sum }: NamespaceUsage): bigint {
  return sum(graph.reachableFrom([...graph.objects()].filter(({ kind }) => kind === "image")));
}

/** The snapshot that a container writes to. */
function layerOf({ graph }: NamespaceUsage, { refs }: HeldObject): HeldObject | undefined {
  const own = refs.find(({ via }) => via === "snapshot of");
  return own === undefined ? undefined : graph.get(own.to);
}

function section(title: string, rows: readonly (readonly string[])[]): string {
  if (rows.length === 1) return "";
  return `\n${title}\n${alignTable(rows).join("\n")}\n`;
}

function imageRows({ images }: NamespaceUsage): string[][] {
  const sorted = images.toSorted((a, b) => Number(b.exclusive - a.exclusive));
  return [
    ["IMAGE", "ID", "CONTENT", "SNAPSHOTS", "SHARED", "EXCLUSIVE", "CONTAINERS"],
    ...sorted.map(({ names, digest, content, snapshots, shared, exclusive, containers }) => [
      names.map(shortReference).join(", "),
      digest.slice(7, 19),
      ...[content, snapshots, shared, exclusive].map(formatBytes),
      String(containers),
    ]),
  ];
}

function containerRows(usage: NamespaceUsage, running: ReadonlySet<string>): string[][] {
  const containers = [...usage.graph.objects()].filter(({ kind }) => kind === "container");
  return [
    ["CONTAINER", "NAME", "WRITTEN", "STATE", "SNAPSHOT"],
    ...containers.map((container) => {
      const layer = layerOf(usage, container);
      const snapshot = layer === undefined ? "-" : `${shortId(layer.id)} (${layer.snapshotter})`;
      const state = running.has(container.id) ? "has a task" : "stopped";
      const written = formatBytes(usage.sizeOf(layer));
      return [shortId(container.id), nameOf(container.labels) || "-", written, state, snapshot];
    }),
  ];
}

function leaseRows({ leases }: NamespaceUsage): string[][] {
  return [
    ["LEASE", "KEEPS", "SIZE", "EXCLUSIVE", "SINCE"],
    ...leases.map(({ lease, objects, size, exclusive }) => [
      lease.id,
      `${objects} objects`,
      formatBytes(size),
      formatBytes(exclusive),
      timesOf(lease),
    ]),
  ];
}

function ingestRows({ graph }: NamespaceUsage): string[][] {
  const ingests = [...graph.objects()].filter(({ kind }) => kind === "ingest");
  return [
    ["INGEST", "HAVE", "SINCE"],
    ...ingests.map((ingest) => [ingest.id, formatBytes(ingest.size ?? 0n), timesOf(ingest)]),
  ];
}

/** Everything, for programs. */
function wholeUsage(usage: NamespaceUsage): Record<string, unknown> {
  const { graph, images, leases } = usage;
  const ofKind = (kind: string): HeldObject[] => [...graph.objects()].filter((object) => object.kind === kind);
  return {
    Namespace: graph.namespace,
    Images: images.map(({ names, digest, content, snapshots, shared, exclusive, containers }) => ({
      Names: names,
      Digest: digest,
      Content: content,
      Snapshots: snapshots,
      Shared: shared,
      Exclusive: exclusive,
      Containers: containers,
    })),
    Containers: ofKind("container").map((one) => ({ ID: one.id, Written: usage.sizeOf(layerOf(usage, one)) })),
    Leases: leases.map(({ lease, objects, size, exclusive }) => ({
      ID: lease.id,
      Objects: objects,
      Size: size,
      Exclusive: exclusive,
      ExpiresAt: lease.expiresAt === undefined ? null : new Date(lease.expiresAt).toISOString(),
    })),
    Ingests: ofKind("ingest").map(({ id, size, createdAt }) => ({
      Ref: id,
      Size: size ?? 0n,
      StartedAt: createdAt?.toISOString() ?? null,
    })),
  };
}
