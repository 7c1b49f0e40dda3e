/**
 * Walking the snapshots of a namespace.
 */
import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import { compileFilters, snapshotAdaptor } from "@ctrd/core/filters";
import type { SnapshotInfo } from "@ctrd/core/snapshots";
import type { SnapshotRecord } from "../db/records.ts";
import type { Row } from "../db/table.ts";
import { overlayInfo } from "./backend-info.ts";
import type { SnapshotterScope } from "./snapshotter.ts";

/** Up to this many snapshots are asked from the backend one by one; beyond that its whole listing is cheaper. */
const fewSnapshots = 64;

export async function* walkSnapshots(
  scope: SnapshotterScope,
  ctx: CallContext,
  filters: readonly string[],
): AsyncGenerator<SnapshotInfo> {
  const namespace = requireNamespace(ctx);
  const matches = compileFilters(filters);
  const { shared, name } = scope;
  let lookup: Lookup = (backendKey) => statBackend(scope, ctx, backendKey);
  let isFirst = true;
  for await (const rows of shared.db.snapshots.pages([namespace, name], ctx.signal)) {
    if (isFirst && rows.length > fewSnapshots) lookup = await listBackend(scope, ctx);
    isFirst = false;
    for (const info of await overlayPage(rows, lookup)) if (matches(snapshotAdaptor(info))) yield info;
  }
}

type Lookup = (backendKey: string) => Promise<SnapshotInfo | undefined>;

/** What the backend has lost is left out. */
async function overlayPage(rows: readonly Row<SnapshotRecord>[], lookup: Lookup): Promise<SnapshotInfo[]> {
  const infos = await Promise.all(
    rows.map(async ({ record }) => {
      const backend = await lookup(record.backendKey);
      return backend === undefined ? undefined : overlayInfo(backend, record.info);
    }),
  );
  return infos.filter((info) => info !== undefined);
}

async function statBackend(
  { backend }: SnapshotterScope,
  ctx: CallContext,
  backendKey: string,
): Promise<SnapshotInfo | undefined> {
  try {
    return await backend.stat(ctx, backendKey);
  } catch (error) {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
}

/** Looks keys up in one listing of the backend; what was made after it is asked one by one. */
async function listBackend(scope: SnapshotterScope, ctx: CallContext): Promise<Lookup> {
  const known = new Map<string, SnapshotInfo>();
  for await (const info of scope.backend.walk(ctx, [])) known.set(info.name, info);
  return async (backendKey) => known.get(backendKey) ?? statBackend(scope, ctx, backendKey);
}
