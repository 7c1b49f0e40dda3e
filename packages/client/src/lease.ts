/**
 * Leases: they keep what was made under them until they end.
 *
 * @module
 */
import type { Lease, LeaseResource } from "@ctrd/core/leases";
import type { Client } from "./client.ts";
import { unlessGone } from "./errors.ts";
import type { Abortable, LabelValues } from "./options.ts";
import { labelsOf } from "./options.ts";

/** Options of {@link Client.createLease}. */
export interface LeaseOptions extends Abortable {
  /** Chosen by the daemon when absent. */
  readonly id?: string;
  readonly labels?: LabelValues;
  /** Milliseconds after which it ends by itself; a day when absent, 0: never. */
  readonly expiresInMs?: number;
}

const dayMs = 24 * 3600 * 1000;

/** A lease. Disposing ends it. */
export class ClientLease implements AsyncDisposable {
  readonly #owner: Client;
  readonly #lease: Lease;
  /** A client whose calls are under the lease. */
  readonly client: Client;

  /** @internal */
  constructor(owner: Client, leased: Client, lease: Lease) {
    [this.#owner, this.client, this.#lease] = [owner, leased, lease];
  }

  /** @internal */
  static async create(owner: Client, view: (id: string) => Client, options: LeaseOptions): Promise<ClientLease> {
    const labels = labelsOf(options.labels);
    const { expiresInMs = dayMs, id = "" } = options;
    if (expiresInMs > 0) labels.set("containerd.io/gc.expire", new Date(Date.now() + expiresInMs).toISOString());
    const lease = await owner.services.leasesService.create(owner.context(options), { id, labels });
    return new ClientLease(owner, view(lease.id), lease);
  }

  get id(): string {
    return this.#lease.id;
  }

  get labels(): ReadonlyMap<string, string> {
    return this.#lease.labels;
  }

  resources(options: Abortable = {}): Promise<LeaseResource[]> {
    return this.#owner.services.leasesService.listResources(this.#owner.context(options), this.id);
  }

  async addResource(resource: LeaseResource, options: Abortable = {}): Promise<void> {
    await this.#owner.services.leasesService.addResource(this.#owner.context(options), this.id, resource);
  }

  async deleteResource(resource: LeaseResource, options: Abortable = {}): Promise<void> {
    await this.#owner.services.leasesService.deleteResource(this.#owner.context(options), this.id, resource);
  }

  /** Ends it. `sync`: returns once what only it kept is gone. */
  async delete(options: Abortable & { readonly sync?: boolean } = {}): Promise<void> {
    const { sync = false } = options;
    await this.#owner.services.leasesService.delete(this.#owner.context(options), this.id, { sync });
  }

  /** Ends it, unless it has ended already. */
  async [Symbol.asyncDispose](): Promise<void> {
    await unlessGone(this.delete());
  }
}
