import type { Container, ContainerStore } from "@ctrd/core/containers";
import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { alreadyExists, invalidArgument, notFound } from "@ctrd/core/errors";
import { compileFilters, containerAdaptor } from "@ctrd/core/filters";
import { checkIdentifier } from "@ctrd/core/identifiers";
import { checkLabels, withoutEmptyLabels } from "@ctrd/core/labels";
import { now } from "@ctrd/core/records";
import type { MetadataDb } from "../db/database.ts";
import { checkKeyPart } from "../db/keys.ts";
import { maskMapField, withoutAbsent } from "./masks.ts";

/** Fields that an Update without a mask replaces. */
const replaceable = ["labels", "spec", "extensions", "image", "snapshotkey"];

/** The container store. */
export class ContainerRecords implements ContainerStore {
  readonly #db: MetadataDb;

  constructor(db: MetadataDb) {
    this.#db = db;
  }

  async get(ctx: CallContext, id: string): Promise<Container> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("container id", id);
    const container = this.#db.containers.get(namespace, id);
    if (container === undefined) throw notFound(`container "${id}" in namespace "${namespace}"`);
    return container;
  }

  async list(ctx: CallContext, filters: readonly string[]): Promise<Container[]> {
    const namespace = requireNamespace(ctx);
    const matches = compileFilters(filters);
    return this.#db.containers.select([namespace], ctx.signal, (record) => matches(containerAdaptor(record)));
  }

  async create(ctx: CallContext, container: Container): Promise<Container> {
    const namespace = requireNamespace(ctx);
    const at = now();
    const record = normalized({ ...container, createdAt: at, updatedAt: at });
    checkContainer(record);
    await this.#db.write(() => {
      if (this.#db.containers.has(namespace, record.id)) throw alreadyExists(`container "${record.id}"`);
      this.#db.ensureNamespace(namespace);
      this.#db.containers.put(record, namespace, record.id);
    });
    return record;
  }

  async update(ctx: CallContext, container: Container, mask: readonly string[]): Promise<Container> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("container id", container.id);
    return this.#db.write(() => {
      const current = this.#db.containers.get(namespace, container.id);
      if (current === undefined) throw notFound(`container "${container.id}" in namespace "${namespace}"`);
      if (mask.length === 0) checkImmutable(current, container);
      let changed = current;
      for (const path of mask.length === 0 ? replaceable : mask) changed = applyPath(changed, container, path);
      const record = normalized({ ...changed, updatedAt: now() });
      checkContainer(record);
      this.#db.containers.put(record, namespace, record.id);
      return record;
    });
  }

  async delete(ctx: CallContext, id: string): Promise<void> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("container id", id);
    await this.#db.write((scope) => {
      if (!this.#db.containers.has(namespace, id)) throw notFound(`container "${id}" in namespace "${namespace}"`);
      this.#db.containers.remove(namespace, id);
      scope.dirty();
    });
  }
}

function normalized(container: Container): Container {
  return {
    ...container,
    labels: withoutEmptyLabels(container.labels),
    extensions: withoutAbsent(container.extensions),
  };
}

function checkContainer(container: Container): void {
  const { id, runtime, spec, snapshotKey, snapshotter } = container;
  checkIdentifier("container id", id);
  checkLabels(container.labels);
  const refuse = (why: string): never => {
    throw invalidArgument(`container "${id}": ${why}`);
  };
  if (container.extensions.has("")) refuse("extension keys must not be empty");
  if (runtime === undefined || runtime.name === "") refuse("runtime.name must be set");
  if (spec === undefined) refuse("spec must be set");
  if (snapshotKey !== "" && snapshotter === "") refuse("snapshotter must be set when snapshot_key is");
}

/** Checked without a mask only: then the caller means the whole record. */
function checkImmutable(current: Container, wanted: Container): void {
  if (wanted.snapshotter !== current.snapshotter) {
    throw invalidArgument(`update container "${current.id}": snapshotter is immutable`);
  }
  if (wanted.runtime?.name !== current.runtime?.name) {
    throw invalidArgument(`update container "${current.id}": runtime.name is immutable`);
  }
}

function applyPath(container: Container, wanted: Container, path: string): Container {
  switch (path) {
    case "labels":
      return { ...container, labels: wanted.labels };
    case "spec":
      return { ...container, spec: wanted.spec };
    case "extensions":
      return { ...container, extensions: wanted.extensions };
    case "image":
      return { ...container, image: wanted.image };
    case "snapshotkey":
      return { ...container, snapshotKey: wanted.snapshotKey };
  }
  const labels = maskMapField(container.labels, wanted.labels, path, "labels");
  if (labels !== undefined) return { ...container, labels };
  const extensions = maskMapField(container.extensions, wanted.extensions, path, "extensions");
  if (extensions !== undefined) return { ...container, extensions };
  throw invalidArgument(`update container "${container.id}": field "${path}" cannot be changed`);
}
