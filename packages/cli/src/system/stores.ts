/**
 * Commands that show the stores as they are: content, snapshots, leases.
 *
 * @module
 */
import type { ContentInfo, IngestStatus } from "@ctrd/core/content";
import type { Lease } from "@ctrd/core/leases";
import type { SnapshotInfo, SnapshotUsage } from "@ctrd/core/snapshots";
import { labelsText, parseAssignments } from "../output/assignments.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows } from "../output/format.ts";
import { formatAge, formatBytes, formatTime } from "../output/quantities.ts";
import type { Session } from "../session.ts";

const contentColumns: readonly Column<ContentInfo>[] = [
  { name: "Digest", title: "DIGEST", value: ({ digest }) => digest },
  { name: "Size", title: "SIZE", value: ({ size }) => size, text: ({ size }) => formatBytes(size) },
  {
    name: "CreatedAt",
    title: "CREATED",
    value: ({ createdAt }) => formatTime(createdAt),
    text: ({ createdAt }) => formatAge(createdAt),
  },
  { name: "Labels", value: ({ labels }) => labels },
];

/** Runs `ctrd content ls`. */
export async function listContent(session: Session, filters: readonly string[], flags: OutputFlags): Promise<void> {
  const infos = await Array.fromAsync(session.content.list(session.ctx, filters));
  process.stdout.write(formatRows(infos, contentColumns, flags));
}

/** Bytes of a blob that are read at a time. */
const pieceSize = 1 << 20;

/** Runs `ctrd content get`: the bytes of a blob, to standard output. */
export async function getContent(session: Session, digest: string): Promise<void> {
  const reader = await session.content.reader(session.ctx, digest);
  try {
    for (let offset = 0n; offset < reader.size;) {
      const data = await reader.read(offset, pieceSize);
      if (data.length === 0) break;
      offset += BigInt(data.length);
      await new Promise<void>((resolve, reject) => {
        process.stdout.write(data, (error) => (error ? reject(error) : resolve()));
      });
    }
  } finally {
    await reader.close();
  }
}

/** Runs `ctrd content rm`. */
export async function removeContent(session: Session, digests: readonly string[]): Promise<void> {
  for (const digest of digests) {
    await session.content.delete(session.ctx, digest);
    process.stdout.write(`${digest}\n`);
  }
}

/** Runs `ctrd content label`. */
export async function labelContent(session: Session, digest: string, texts: readonly string[]): Promise<void> {
  const labels = parseAssignments("content label", texts);
  const { content, ctx } = session;
  const info = await content.info(ctx, digest);
  await content.update(ctx, { ...info, labels }, maskOf(labels));
}

/** Runs `ctrd snapshots label`. */
export async function labelSnapshot(
  session: Session,
  snapshotter: string,
  key: string,
  texts: readonly string[],
): Promise<void> {
  const labels = parseAssignments("snapshots label", texts);
  const { ctx } = session;
  const info = await session.snapshotters.get(snapshotter).stat(ctx, key);
  await session.snapshotters.get(snapshotter).update(ctx, { ...info, labels }, maskOf(labels));
}

function maskOf(labels: ReadonlyMap<string, string>): string[] {
  return [...labels.keys()].map((key) => `labels.${key}`);
}

const ingestColumns: readonly Column<IngestStatus>[] = [
  { name: "Ref", title: "REF", value: ({ ref }) => ref },
  { name: "Offset", title: "HAVE", value: ({ offset }) => offset, text: ({ offset }) => formatBytes(offset) },
  {
    name: "Total",
    title: "OF",
    value: ({ total }) => total,
    text: ({ total }) => (total > 0n ? formatBytes(total) : "-"),
  },
  {
    name: "StartedAt",
    title: "STARTED",
    value: ({ startedAt }) => formatTime(startedAt),
    text: ({ startedAt }) => formatAge(startedAt),
  },
  {
    name: "UpdatedAt",
    title: "WRITTEN",
    value: ({ updatedAt }) => formatTime(updatedAt),
    text: ({ updatedAt }) => formatAge(updatedAt),
  },
  { name: "Expected", value: ({ expected }) => expected },
];

/** Runs `ctrd content ingests`. */
export async function listIngests(session: Session, flags: OutputFlags): Promise<void> {
  const statuses = await session.content.listStatuses(session.ctx, []);
  process.stdout.write(formatRows(statuses, ingestColumns, flags));
}

/** Runs `ctrd content abort`. */
export async function abortIngests(session: Session, refs: readonly string[]): Promise<void> {
  for (const ref of refs) {
    await session.content.abort(session.ctx, ref);
    process.stdout.write(`${ref}\n`);
  }
}

interface SnapshotRow extends SnapshotInfo {
  readonly usage: SnapshotUsage;
}

const kinds = ["unknown", "view", "active", "committed"];
const snapshotColumns: readonly Column<SnapshotRow>[] = [
  { name: "Key", title: "KEY", value: ({ name }) => name },
  { name: "Parent", title: "PARENT", value: ({ parent }) => parent },
  { name: "Kind", title: "KIND", value: ({ kind }) => kinds[kind] },
  { name: "Size", title: "SIZE", value: ({ usage }) => usage.size, text: ({ usage }) => formatBytes(usage.size) },
  { name: "Inodes", value: ({ usage }) => usage.inodes },
  { name: "CreatedAt", value: ({ createdAt }) => formatTime(createdAt) },
  { name: "Labels", value: ({ labels }) => labels },
];

/** Runs `ctrd snapshots ls`. */
export async function listSnapshots(session: Session, name: string, flags: OutputFlags): Promise<void> {
  const { ctx } = session;
  const snapshotter = session.snapshotters.get(name);
  const rows: SnapshotRow[] = [];
  for await (const info of snapshotter.walk(ctx, [])) {
    rows.push({ ...info, usage: await snapshotter.usage(ctx, info.name) });
  }
  process.stdout.write(formatRows(rows, snapshotColumns, flags));
}

/** Runs `ctrd snapshots rm`. */
export async function removeSnapshots(session: Session, name: string, keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    await session.snapshotters.get(name).remove(session.ctx, key);
    process.stdout.write(`${key}\n`);
  }
}

const leaseColumns: readonly Column<Lease>[] = [
  { name: "ID", title: "ID", value: ({ id }) => id },
  {
    name: "CreatedAt",
    title: "CREATED",
    value: ({ createdAt }) => formatTime(createdAt),
    text: ({ createdAt }) => formatAge(createdAt),
  },
  { name: "Labels", title: "LABELS", value: ({ labels }) => labels, text: ({ labels }) => labelsText(labels) },
];

/** Runs `ctrd leases ls`. */
export async function listLeases(session: Session, flags: OutputFlags): Promise<void> {
  process.stdout.write(formatRows(await session.leases.list(session.ctx, []), leaseColumns, flags));
}

/** Runs `ctrd leases create`. */
export async function createLease(session: Session, id: string | undefined, labels: readonly string[]): Promise<void> {
  const lease = await session.leases.create(session.ctx, { id: id ?? "", labels: parseAssignments("--label", labels) });
  process.stdout.write(`${lease.id}\n`);
}

/** Runs `ctrd leases rm`. */
export async function removeLeases(session: Session, ids: readonly string[], sync: boolean): Promise<void> {
  for (const id of ids) {
    await session.leases.delete(session.ctx, id, { sync });
    process.stdout.write(`${id}\n`);
  }
}
