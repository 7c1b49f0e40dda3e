/**
 * The records of one snapshotter: which snapshots there are, of which kind, on which parent. What a snapshotter keeps
 * on disk for them is its own matter.
 */
import { alreadyExists, failedPrecondition, invalidArgument, notFound } from "@ctrd/core/errors";
import { applyLabelMask } from "@ctrd/core/field-mask";
import { compileFilters, snapshotAdaptor } from "@ctrd/core/filters";
import { checkLabels, withoutEmptyLabels } from "@ctrd/core/labels";
import { now } from "@ctrd/core/records";
import type { Labels } from "@ctrd/core/records";
import type { CommitSnapshotOptions, SnapshotInfo, SnapshotUsage } from "@ctrd/core/snapshots";
import { SnapshotKind } from "@ctrd/core/snapshots";
import type { Database } from "lmdb";
import type { DurableEnv, DurableKey } from "./env.ts";
import { openDurableEnv } from "./env.ts";
import { copyInfo, decodeRecord, encodeRecord } from "./snapshot-record.ts";
import type { SnapshotRecord } from "./snapshot-record.ts";

/** What to create. */
export interface NewSnapshot {
  readonly kind: typeof SnapshotKind.Active | typeof SnapshotKind.View;
  readonly key: string;
  /** Name of the committed parent; empty for none. */
  readonly parent: string;
  readonly labels?: Labels | undefined;
}

/** A snapshot with the ids of its parents, nearest first. */
export interface SnapshotChain {
  readonly record: SnapshotRecord;
  readonly parentIds: readonly string[];
}

/** The files of a snapshot that is being created. */
export interface SnapshotFiles {
  /** Makes them, before the record is written. */
  make(chain: SnapshotChain): void | Promise<void>;
  /** Removes them again, whole or in part, because `make` or the record failed. It logs its own failures. */
  discard(id: string): void | Promise<void>;
}

/** Keys longer than this do not fit in LMDB with room to spare for their encoding. */
const longestKey = 1900;
const noUsage: SnapshotUsage = { size: 0n, inodes: 0n };

/**
 * Opens or creates the database file `path` of a snapshotter.
 *
 * @throws as `openDurableEnv`
 */
export function openSnapshotStore(path: string): SnapshotStore {
  const env = openDurableEnv({ path, maxDbs: 8, schema: { name: "snapshots", version: 1 } });
  try {
    return new SnapshotStore(env);
  } catch (error) {
    void env.close();
    throw error;
  }
}

/**
 * The snapshot records in one database file. Reads are answered from memory; a change is on disk when its promise
 * resolves, and changes made at the same time share one sync.
 */
export class SnapshotStore {
  readonly #env: DurableEnv;
  /** Key → record. */
  readonly #stored: Database<Uint8Array, DurableKey>;
  /** `[parent id, child id]` → nothing: answers "has it children?". */
  readonly #children: Database<Uint8Array, DurableKey>;
  readonly #meta: Database<Uint8Array, DurableKey>;
  readonly #records = new Map<string, SnapshotRecord>();
  /** Ids whose files are being made while their record is not there yet → names of their parents. */
  readonly #making = new Map<string, string>();
  #lastId: number;

  /** @param env opened with the schema `snapshots`; closed with the store */
  constructor(env: DurableEnv) {
    this.#env = env;
    this.#stored = env.openDb("snapshots");
    this.#children = env.openDb("children");
    this.#meta = env.openDb("meta");
    for (const { key, value } of this.#stored.getRange()) {
      this.#records.set(String(key), decodeRecord(String(key), value));
    }
    this.#lastId = this.#readLastId();
  }

  /** Never gives an id up to `id` again; for directories that a crash left without a record. */
  skipIds(id: number): void {
    this.#lastId = Math.max(this.#lastId, id);
  }

  /** The record of `key`. @throws `not-found` */
  get(key: string): SnapshotRecord {
    const record = this.#records.get(key);
    if (record === undefined) throw notFound(`snapshot "${key}"`);
    return record;
  }

  /** Every record. */
  all(): IterableIterator<SnapshotRecord> {
    return this.#records.values();
  }

  /** A copy of the information on `key`. @throws `not-found` */
  stat(key: string): SnapshotInfo {
    return copyInfo(this.get(key).info);
  }

  /** The active snapshot or view `key` with its parents. @throws `not-found`, `failed-precondition` when committed */
  mountable(key: string): SnapshotChain {
    const record = this.get(key);
    if (record.info.kind === SnapshotKind.Committed) {
      throw failedPrecondition(`mounts of snapshot "${key}": it is committed, use a view of it`);
    }
    return this.chain(record);
  }

  /** A record with its parents. @throws `not-found` when one is missing */
  chain(record: SnapshotRecord): SnapshotChain {
    const parentIds: string[] = [];
    for (let parent = record.info.parent; parent !== "";) {
      const next = this.get(parent);
      parentIds.push(next.id);
      parent = next.info.parent;
    }
    return { record, parentIds };
  }

  /** Copies of the snapshots that match any of `filters`. @throws `invalid-argument` for a malformed filter */
  *walk(filters: readonly string[]): Generator<SnapshotRecord> {
    const matches = compileFilters(filters);
    // A copy of the list: records come and go while the caller waits between two steps.
    for (const record of Array.from(this.#records.values())) {
      if (matches(snapshotAdaptor(record.info))) yield { ...record, info: copyInfo(record.info) };
    }
  }

  /** Ids that have, or are about to have, a record. */
  ids(): Set<string> {
    const ids = new Set(this.#making.keys());
    for (const record of this.#records.values()) ids.add(record.id);
    return ids;
  }

  /**
   * Creates an active snapshot or a view. `files.make` runs between the first checks and the write.
   *
   * @throws `not-found` without the parent, `invalid-argument` when it is not committed or the key or a label is too
   *   long, `already-exists`, and whatever `files.make` throws
   */
  async create(wanted: NewSnapshot, files: SnapshotFiles): Promise<SnapshotChain> {
    checkKey(wanted.key);
    const labels = withoutEmptyLabels(wanted.labels ?? new Map<string, string>());
    checkLabels(labels);
    const created = now();
    const id = String(this.#lastId + 1);
    const { kind, key, parent } = wanted;
    const record: SnapshotRecord = {
      id,
      info: { name: key, parent, kind, createdAt: created, updatedAt: created, labels },
      usage: noUsage,
    };
    this.#checkNew(record, (name) => this.#records.get(name));
    this.#lastId += 1;
    this.#making.set(id, parent);
    try {
      await files.make(this.chain(record));
      await this.#env.write(() => {
        this.#checkNew(record, this.#read);
        this.#put(record);
        if (Number(id) > this.#readLastId()) void this.#meta.put("last-id", Buffer.from(id));
      });
      this.#records.set(key, record);
    } catch (error) {
      await files.discard(id);
      throw error;
    } finally {
      this.#making.delete(id);
    }
    return this.chain(record);
  }

  /**
   * Changes labels as the mask says.
   *
   * @returns the new information
   * @throws `not-found`, `invalid-argument` for another field or a label that is too long
   */
  async update(info: SnapshotInfo, mask: readonly string[]): Promise<SnapshotInfo> {
    const key = info.name;
    const changed = await this.#env.write(() => {
      const old = this.#require(key);
      const labels = applyLabelMask(old.info.labels, info.labels, mask, `snapshot "${key}"`);
      checkLabels(labels);
      const record = { ...old, info: { ...old.info, labels, updatedAt: now() } };
      void this.#stored.put(key, encodeRecord(record));
      return record;
    });
    this.#records.set(key, changed);
    return copyInfo(changed.info);
  }

  /** The active snapshot `key`, as a first check before its usage is measured. @throws as {@link SnapshotStore.commit} */
  checkCommit(name: string, key: string, options: CommitSnapshotOptions = {}): SnapshotRecord {
    return this.#committed(name, key, noUsage, options, (wanted) => this.#records.get(wanted)).active;
  }

  /**
   * Turns the active snapshot `key` into the committed `name`. Labels are those of `options`, not the active one's.
   *
   * @throws `already-exists` when `name` is there, `not-found`, `failed-precondition` when `key` is not active or the
   *   parent not committed, `invalid-argument` when `options.parent` differs from the parent it has
   */
  async commit(name: string, key: string, usage: SnapshotUsage, options: CommitSnapshotOptions = {}): Promise<void> {
    const record = await this.#env.write(() => {
      const { committed } = this.#committed(name, key, usage, options, this.#read);
      void this.#stored.remove(key);
      this.#put(committed);
      return committed;
    });
    this.#records.delete(key);
    this.#records.set(name, record);
  }

  /**
   * Removes the record of `key`.
   *
   * @returns what it was
   * @throws `not-found`, `failed-precondition` when it has children, or the files of one are being made
   */
  async remove(key: string): Promise<SnapshotRecord> {
    const removed = await this.#env.write(() => {
      const record = this.#require(key);
      const id = Number(record.id);
      const [child] = this.#children.getKeys({ start: [id], end: [id + 1], limit: 1 });
      if (child !== undefined || this.#isBecomingParent(key)) {
        throw failedPrecondition(`remove snapshot "${key}": it has children`);
      }
      const parent = record.info.parent === "" ? undefined : this.#read(record.info.parent);
      if (parent !== undefined) void this.#children.remove([Number(parent.id), id]);
      void this.#stored.remove(key);
      return record;
    });
    this.#records.delete(key);
    return removed;
  }

  /** Waits for pending changes and closes the file. Closing again does nothing. */
  close(): Promise<void> {
    return this.#env.close();
  }

  /** The record as the current transaction sees it. */
  readonly #read = (key: string): SnapshotRecord | undefined => {
    const bytes = isTooLong(key) ? undefined : this.#stored.get(key);
    return bytes === undefined ? undefined : decodeRecord(key, bytes);
  };

  #isBecomingParent(key: string): boolean {
    for (const parent of this.#making.values()) if (parent === key) return true;
    return false;
  }

  #require(key: string): SnapshotRecord {
    const record = this.#read(key);
    if (record === undefined) throw notFound(`snapshot "${key}"`);
    return record;
  }

  #readLastId(): number {
    const bytes = this.#meta.get("last-id");
    return bytes === undefined ? 0 : Number(Buffer.from(bytes).toString());
  }

  #put(record: SnapshotRecord): void {
    const { name, parent } = record.info;
    void this.#stored.put(name, encodeRecord(record));
    if (parent === "") return;
    void this.#children.put([Number(this.#require(parent).id), Number(record.id)], Buffer.from([1]));
  }

  #checkNew(record: SnapshotRecord, read: (key: string) => SnapshotRecord | undefined): void {
    const { name, parent } = record.info;
    if (parent !== "") {
      const found = read(parent);
      if (found === undefined) throw notFound(`create snapshot "${name}": parent "${parent}"`);
      if (found.info.kind !== SnapshotKind.Committed) {
        throw invalidArgument(`create snapshot "${name}": parent "${parent}" is not committed`);
      }
    }
    if (read(name) !== undefined) throw alreadyExists(`snapshot "${name}"`);
  }

  #committed(
    name: string,
    key: string,
    usage: SnapshotUsage,
    options: CommitSnapshotOptions,
    read: (key: string) => SnapshotRecord | undefined,
  ): { active: SnapshotRecord; committed: SnapshotRecord } {
    checkKey(name);
    const labels = withoutEmptyLabels(options.labels ?? new Map<string, string>());
    checkLabels(labels);
    if (read(name) !== undefined) throw alreadyExists(`commit snapshot "${key}": "${name}"`);
    const active = read(key);
    if (active === undefined) throw notFound(`commit snapshot "${key}"`);
    if (active.info.kind !== SnapshotKind.Active)
      throw failedPrecondition(`commit snapshot "${key}": it is not active`);
    const parent = commitParent(active, options.parent ?? "", read);
    const time = now();
    const info = { name, parent, kind: SnapshotKind.Committed, createdAt: time, updatedAt: time, labels };
    return { active, committed: { id: active.id, info, usage } };
  }
}

/** The parent that a commit leaves a snapshot with: its own, or the given one when it has none. */
function commitParent(
  active: SnapshotRecord,
  wanted: string,
  read: (key: string) => SnapshotRecord | undefined,
): string {
  const own = active.info.parent;
  const what = `commit snapshot "${active.info.name}"`;
  if (own !== "" && wanted !== "" && wanted !== own) {
    throw invalidArgument(`${what}: its parent is "${own}" and cannot become "${wanted}"`);
  }
  const parent = own === "" ? wanted : own;
  if (parent === "") return parent;
  const found = read(parent);
  if (found === undefined) throw notFound(`${what}: parent "${parent}"`);
  if (found.info.kind !== SnapshotKind.Committed)
    throw failedPrecondition(`${what}: parent "${parent}" is not committed`);
  return parent;
}

function checkKey(key: string): void {
  if (key === "") throw invalidArgument("snapshot key is empty");
  if (isTooLong(key)) {
    throw invalidArgument(`snapshot key "${key.slice(0, 64)}…" has more than ${longestKey} bytes`);
  }
}

function isTooLong(key: string): boolean {
  return Buffer.byteLength(key) > longestKey;
}
