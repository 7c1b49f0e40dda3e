import { isKind } from "@ctrd/core/errors";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows } from "../output/format.ts";
import { formatBytes } from "../output/quantities.ts";
import type { Session } from "../session.ts";

interface Row {
  readonly type: string;
  readonly total: number;
  readonly size: bigint;
}

const columns: readonly Column<Row>[] = [
  { name: "Type", title: "TYPE", value: ({ type }) => type },
  { name: "Total", title: "TOTAL", value: ({ total }) => total },
  { name: "Size", title: "SIZE", value: ({ size }) => size, text: ({ size }) => formatBytes(size) },
];

/** Runs `ctrd system df`: what the namespace holds, by kind. */
export async function diskUsage(session: Session, flags: OutputFlags): Promise<void> {
  const { ctx } = session;
  const content = await Array.fromAsync(session.content.list(ctx, []));
  const ingests = await session.content.listStatuses(ctx, []);
  const plugins = await session.introspection.plugins(ctx, ["type==io.containerd.snapshotter.v1"]);
  const snapshots: Row[] = [];
  for (const { id, state } of plugins) {
    if (state !== "ok") continue;
    const row = await snapshotsOf(session, id);
    if (row.total > 0) snapshots.push(row);
  }
  const rows: Row[] = [
    { type: "images", total: (await session.images.list(ctx, [])).length, size: 0n },
    { type: "content", total: content.length, size: content.reduce((sum, { size }) => sum + size, 0n) },
    { type: "ingests", total: ingests.length, size: ingests.reduce((sum, { offset }) => sum + offset, 0n) },
    ...snapshots,
    { type: "containers", total: (await session.containers.list(ctx, [])).length, size: 0n },
  ];
  process.stdout.write(formatRows(rows, columns, flags));
}

async function snapshotsOf(session: Session, name: string): Promise<Row> {
  const { ctx } = session;
  const snapshotter = session.snapshotters.get(name);
  let [total, size] = [0, 0n];
  for await (const info of snapshotter.walk(ctx, [])) {
    total++;
    try {
      size += (await snapshotter.usage(ctx, info.name)).size;
    } catch (error) {
      // Removed in between.
      if (!isKind(error, "not-found")) throw error;
    }
  }
  return { type: `snapshots (${name})`, total, size };
}
