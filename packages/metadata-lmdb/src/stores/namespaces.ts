import type { CallContext } from "@ctrd/core/context";
import { alreadyExists, failedPrecondition, invalidArgument, notFound } from "@ctrd/core/errors";
import { maskedKey } from "@ctrd/core/field-mask";
import { checkIdentifier } from "@ctrd/core/identifiers";
import { checkLabels, withoutEmptyLabels } from "@ctrd/core/labels";
import type { Namespace, NamespaceStore } from "@ctrd/core/namespaces";
import type { Labels } from "@ctrd/core/records";
import type { Garbage } from "../gc/garbage.ts";
import type { MetadataDb } from "../db/database.ts";

/** The namespace store. A namespace is there once it was created, labelled, or anything was written in it. */
export class NamespaceRecords implements NamespaceStore {
  readonly #db: MetadataDb;
  readonly #garbage: Garbage;

  constructor(db: MetadataDb, garbage: Garbage) {
    this.#db = db;
    this.#garbage = garbage;
  }

  async get(_ctx: CallContext, name: string): Promise<Namespace> {
    checkIdentifier("namespace", name);
    return this.#db.namespaces.get(name) ?? { name, labels: new Map() };
  }

  async list(_ctx: CallContext): Promise<Namespace[]> {
    return [...this.#db.namespaces.under()].map(({ record }) => record);
  }

  async create(_ctx: CallContext, { name, labels }: Namespace): Promise<Namespace> {
    checkIdentifier("namespace", name);
    checkLabels(labels);
    const record: Namespace = { name, labels: withoutEmptyLabels(labels) };
    await this.#db.write(() => {
      if (this.#db.namespaces.has(name)) throw alreadyExists(`namespace "${name}"`);
      this.#db.namespaces.put(record, name);
    });
    return record;
  }

  async update(_ctx: CallContext, wanted: Namespace, mask: readonly string[]): Promise<Namespace> {
    const { name } = wanted;
    checkIdentifier("namespace", name);
    return this.#db.write(() => {
      const current = this.#db.namespaces.get(name)?.labels ?? new Map<string, string>();
      const record: Namespace = { name, labels: maskLabels(current, wanted, mask) };
      checkLabels(record.labels);
      this.#db.namespaces.put(record, name);
      return record;
    });
  }

  async delete(_ctx: CallContext, name: string): Promise<void> {
    checkIdentifier("namespace", name);
    const backendRefs = await this.#db.write(() => {
      if (!this.#db.namespaces.has(name)) throw notFound(`namespace "${name}"`);
      const rest = remains(this.#db, name);
      if (rest.length > 0) {
        throw failedPrecondition(`namespace "${name}" must be empty, but it still has ${rest.join(", ")}`);
      }
      return removeNamespace(this.#db, name);
    });
    for (const ref of backendRefs) this.#garbage.addIngest(ref);
  }
}

/** Unlike other objects a namespace has no `labels` path. */
function maskLabels(current: Labels, wanted: Namespace, mask: readonly string[]): Labels {
  if (mask.length === 0) return withoutEmptyLabels(wanted.labels);
  const labels = new Map(current);
  for (const path of mask) {
    const key = maskedKey(path, "labels");
    if (key === undefined) {
      throw invalidArgument(`update namespace "${wanted.name}": field "${path}" cannot be changed, only labels.<key>`);
    }
    labels.set(key, wanted.labels.get(key) ?? "");
  }
  return withoutEmptyLabels(labels);
}

/** What keeps a namespace from being deleted, in containerd's words. */
function remains(db: MetadataDb, name: string): string[] {
  const rest: string[] = [];
  if (!db.images.isEmpty(name)) rest.push("images");
  if (!db.blobs.isEmpty(name)) rest.push("blobs");
  if (!db.containers.isEmpty(name)) rest.push("containers");
  const snapshotters = new Set<string>();
  for (const key of db.snapshots.keysUnder(name)) snapshotters.add(key[1] ?? "");
  for (const snapshotter of snapshotters) rest.push(`snapshots on "${snapshotter}" snapshotter`);
  return rest;
}

/** Removes the namespace with its leases, sandboxes and ingests; returns the backend refs of the ingests. */
function removeNamespace(db: MetadataDb, name: string): string[] {
  const backendRefs: string[] = [];
  for (const { key, record } of [...db.ingests.under(name)]) {
    db.ingests.remove(...key);
    if (record.status.expected !== "") db.sharedIngests.remove(record.status.expected, ...key);
    backendRefs.push(record.backendRef);
  }
  db.leases.removeUnder(name);
  db.leaseResources.removeUnder(name);
  db.sandboxes.removeUnder(name);
  db.namespaces.remove(name);
  return backendRefs;
}
