/**
 * Prepare and View.
 */
import type { CallContext } from "@ctrd/core/context";
import { alreadyExists, invalidArgument, isKind, notFound, unknownError } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import { formatFilter } from "@ctrd/core/filters";
import type { Labels, Mount } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import type { SnapshotInfo } from "@ctrd/core/snapshots";
import { SnapshotKind, snapshotRefLabel } from "@ctrd/core/snapshots";
import { checkKeyPart } from "../db/keys.ts";
import type { SnapshotRecord } from "../db/records.ts";
import { snapshotPin } from "../shared.ts";
import { checkLease, joinLease, snapshotResource } from "../stores/lease-resources.ts";
import { inheritedLabels } from "./backend-info.ts";
import { putSnapshot } from "./snapshot-records.ts";
import type { SnapshotterScope } from "./snapshotter.ts";
import { undoBackend } from "./undo.ts";

/** What is to be created; the caller holds the lock of the key and has checked key and labels. */
export interface Creation {
  readonly namespace: string;
  readonly kind: SnapshotKind;
  readonly key: string;
  readonly parent: string;
  readonly labels: Labels;
}

export async function createSnapshot(scope: SnapshotterScope, ctx: CallContext, creation: Creation): Promise<Mount[]> {
  const { shared, name, backend } = scope;
  const { namespace, kind, key, parent, labels } = creation;
  const target = labels.get(snapshotRefLabel) ?? "";
  checkLease(shared.db, ctx, namespace);
  if (target !== "") await refuseExisting(scope, ctx, namespace, target, `target snapshot "${target}"`);
  await refuseExisting(scope, ctx, namespace, key, `snapshot "${key}"`);
  const parentKey = parent === "" ? "" : parentBackendKey(scope, namespace, parent);
  const backendKey = `${namespace}/${await shared.db.nextSequence()}/${key}`;
  const unpin = await shared.pins.pin(snapshotPin(name, backendKey));
  try {
    const options = { labels: inheritedLabels(labels) };
    let mounts: Mount[];
    try {
      mounts =
        kind === SnapshotKind.View
          ? await backend.view(ctx, backendKey, parentKey, options)
          : await backend.prepare(ctx, backendKey, parentKey, options);
    } catch (error) {
      if (!isKind(error, "already-exists")) throw error;
      if (target === "") throw unknownError(`snapshotter "${name}": ${error.message}`, { cause: error });
      // It may have begun the snapshot before it found that it has the target.
      shared.garbage.addSnapshot(name, backendKey);
      return await adoptTarget(scope, ctx, creation, target, parentKey);
    }
    FAILPOINT: if (failpoints.on) await failpoints.at("snapshot.record");
    await writeCreation(scope, ctx, creation, parentKey, backendKey);
    return mounts;
  } finally {
    unpin();
  }
}

/** What exists joins the lease of the call all the same: the caller is going to use it. */
async function refuseExisting(
  { shared: { db }, name }: SnapshotterScope,
  ctx: CallContext,
  namespace: string,
  key: string,
  what: string,
): Promise<void> {
  checkKeyPart("snapshot", key);
  if (!db.snapshots.has(namespace, name, key)) return;
  if (ctx.lease !== undefined && ctx.lease !== "") {
    const exists = await db.write(() => {
      if (!db.snapshots.has(namespace, name, key)) return false;
      return joinLease(db, ctx, namespace, snapshotResource(name), key);
    });
    if (!exists) return;
  }
  throw alreadyExists(what);
}

function parentBackendKey({ shared, name }: SnapshotterScope, namespace: string, parent: string): string {
  checkKeyPart("parent snapshot", parent);
  const record = shared.db.snapshots.get(namespace, name, parent);
  if (record === undefined) throw notFound(`parent snapshot "${parent}" does not exist`);
  return record.backendKey;
}

async function writeCreation(
  scope: SnapshotterScope,
  ctx: CallContext,
  creation: Creation,
  parentKey: string,
  backendKey: string,
): Promise<void> {
  const at = now();
  const { key, parent, kind, labels } = creation;
  const info: SnapshotInfo = { name: key, parent, kind, createdAt: at, updatedAt: at, labels };
  try {
    const written = await write(scope, ctx, creation, parentKey, { backendKey, info });
    // The lock of the key keeps other creations out, but not a target of that name.
    if (!written) throw alreadyExists(`snapshot "${key}"`);
  } catch (error) {
    await undoBackend(scope, ctx, backendKey);
    throw error;
  }
}

/** A backend that has the target already (a remote snapshotter) answered so: the target is recorded as it is there. */
async function adoptTarget(
  scope: SnapshotterScope,
  ctx: CallContext,
  creation: Creation,
  target: string,
  parentKey: string,
): Promise<never> {
  const { shared, name } = scope;
  const found = await findTarget(scope, ctx, target, parentKey);
  if (found === undefined) throw notFound(`target snapshot "${target}" in snapshotter "${name}"`);
  const unpin = await shared.pins.pin(snapshotPin(name, found.name));
  try {
    // Before it was pinned a clean-up may have removed it, when other namespaces had let it go.
    await scope.backend.stat(ctx, found.name);
    const info: SnapshotInfo = {
      ...found,
      name: target,
      parent: creation.parent,
      labels: new Map([...found.labels, ...creation.labels]),
    };
    await write(scope, ctx, creation, found.parent, { backendKey: found.name, info });
  } finally {
    unpin();
  }
  throw alreadyExists(`target snapshot "${target}" from snapshotter "${name}"`);
}

async function findTarget(
  { backend }: SnapshotterScope,
  ctx: CallContext,
  target: string,
  parentKey: string,
): Promise<SnapshotInfo | undefined> {
  const selectors = [{ path: ["labels", snapshotRefLabel], operator: "==" as const, value: target }];
  const parent = { path: ["parent"], operator: "==" as const, value: parentKey };
  const filter = formatFilter({ selectors: parentKey === "" ? selectors : [...selectors, parent] });
  for await (const info of backend.walk(ctx, [filter])) {
    // Not every backend heeds filters.
    const matches = info.labels.get(snapshotRefLabel) === target && info.parent === parentKey;
    if (matches && info.kind === SnapshotKind.Committed) return info;
  }
  return undefined;
}

/** Writes the record of a new snapshot; false when the name is taken, which then has joined the lease. */
async function write(
  { shared: { db }, name: snapshotter }: SnapshotterScope,
  ctx: CallContext,
  { namespace, parent }: Creation,
  parentKey: string,
  record: SnapshotRecord,
): Promise<boolean> {
  const { name } = record.info;
  return db.write(() => {
    db.ensureNamespace(namespace);
    joinLease(db, ctx, namespace, snapshotResource(snapshotter), name);
    if (db.snapshots.has(namespace, snapshotter, name)) return false;
    if (parent !== "") {
      const found = db.snapshots.get(namespace, snapshotter, parent);
      if (found === undefined) throw notFound(`parent snapshot "${parent}" does not exist`);
      if (found.backendKey !== parentKey) {
        throw invalidArgument(`snapshot "${name}": the snapshotter has another parent for it than "${parent}"`);
      }
    }
    putSnapshot(db, [namespace, snapshotter, name], record);
    return true;
  });
}
