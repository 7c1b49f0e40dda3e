import { randomBytes } from "node:crypto";
import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { alreadyExists, notFound } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import { compileFilters, leaseAdaptor } from "@ctrd/core/filters";
import { checkLabels, withoutEmptyLabels } from "@ctrd/core/labels";
import type { Lease, LeaseManager, LeaseResource } from "@ctrd/core/leases";
import type { Labels } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import type { MetadataDb } from "../db/database.ts";
import { checkLeaseId } from "../db/keys.ts";
import { addLeaseResource, checkLeaseResource } from "./lease-resources.ts";

/** The lease store. Its `delete` never waits for a collection; the lease plugin adds that. */
export class LeaseRecords implements LeaseManager {
  readonly #db: MetadataDb;

  constructor(db: MetadataDb) {
    this.#db = db;
  }

  async create(ctx: CallContext, wanted: { id: string; labels: Labels }): Promise<Lease> {
    const namespace = requireNamespace(ctx);
    const id = wanted.id === "" ? generateLeaseId() : wanted.id;
    checkLeaseId(id);
    checkLabels(wanted.labels);
    const lease: Lease = { id, createdAt: now(), labels: withoutEmptyLabels(wanted.labels) };
    await this.#db.write(() => {
      if (this.#db.leases.has(namespace, id)) throw alreadyExists(`lease "${id}"`);
      this.#db.ensureNamespace(namespace);
      this.#db.leases.put(lease, namespace, id);
    });
    return lease;
  }

  async delete(ctx: CallContext, id: string): Promise<void> {
    const namespace = requireNamespace(ctx);
    checkLeaseId(id);
    FAILPOINT: if (failpoints.on) await failpoints.at("lease.delete");
    await this.#db.write((scope) => {
      this.#require(namespace, id);
      this.#db.leases.remove(namespace, id);
      this.#db.leaseResources.removeUnder(namespace, id);
      scope.dirty();
    });
  }

  async list(ctx: CallContext, filters: readonly string[]): Promise<Lease[]> {
    const namespace = requireNamespace(ctx);
    const matches = compileFilters(filters);
    return this.#db.leases.select([namespace], ctx.signal, (record) => matches(leaseAdaptor(record)));
  }

  async addResource(ctx: CallContext, id: string, resource: LeaseResource): Promise<void> {
    const namespace = requireNamespace(ctx);
    checkLeaseId(id);
    checkLeaseResource(resource);
    await this.#db.write(() => {
      this.#require(namespace, id);
      addLeaseResource(this.#db, namespace, id, resource);
    });
  }

  async deleteResource(ctx: CallContext, id: string, resource: LeaseResource): Promise<void> {
    const namespace = requireNamespace(ctx);
    checkLeaseId(id);
    checkLeaseResource(resource);
    await this.#db.write((scope) => {
      this.#require(namespace, id);
      this.#db.leaseResources.remove(namespace, id, resource.type, resource.id);
      scope.dirty();
    });
  }

  async listResources(ctx: CallContext, id: string): Promise<LeaseResource[]> {
    const namespace = requireNamespace(ctx);
    checkLeaseId(id);
    this.#require(namespace, id);
    const resources: LeaseResource[] = [];
    for await (const rows of this.#db.leaseResources.pages([namespace, id], ctx.signal)) {
      for (const { key } of rows) resources.push({ type: key[2] ?? "", id: key[3] ?? "" });
    }
    return resources;
  }

  #require(namespace: string, id: string): void {
    if (!this.#db.leases.has(namespace, id)) throw notFound(`lease "${id}"`);
  }
}

/** `<nanosecond part of the second>-<4 base64url characters>`, as containerd's servers name leases. */
export function generateLeaseId(): string {
  const nanos = process.hrtime.bigint() % 1_000_000n;
  const part = BigInt(Date.now() % 1000) * 1_000_000n + nanos;
  return `${part}-${randomBytes(3).toString("base64url")}`;
}
