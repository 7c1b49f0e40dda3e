import type { CallContext } from "@ctrd/core/context";
import { requireNamespace } from "@ctrd/core/context";
import { alreadyExists, invalidArgument, notFound } from "@ctrd/core/errors";
import { compileFilters, sandboxAdaptor } from "@ctrd/core/filters";
import { checkIdentifier } from "@ctrd/core/identifiers";
import { checkLabels, withoutEmptyLabels } from "@ctrd/core/labels";
import { now } from "@ctrd/core/records";
import type { Sandbox, SandboxStore } from "@ctrd/core/sandboxes";
import type { MetadataDb } from "../db/database.ts";
import { checkKeyPart } from "../db/keys.ts";
import { maskMapField, withoutAbsent } from "./masks.ts";

/** Fields that an Update without a mask replaces. */
const replaceable = ["labels", "extensions", "spec", "runtime"];

/** The sandbox store. */
export class SandboxRecords implements SandboxStore {
  readonly #db: MetadataDb;

  constructor(db: MetadataDb) {
    this.#db = db;
  }

  async create(ctx: CallContext, sandbox: Sandbox): Promise<Sandbox> {
    const namespace = requireNamespace(ctx);
    const at = now();
    const record = normalized({ ...sandbox, createdAt: at, updatedAt: at });
    checkSandbox(record);
    await this.#db.write(() => {
      if (this.#db.sandboxes.has(namespace, record.sandboxId)) throw alreadyExists(`sandbox "${record.sandboxId}"`);
      this.#db.ensureNamespace(namespace);
      this.#db.sandboxes.put(record, namespace, record.sandboxId);
    });
    return record;
  }

  async update(ctx: CallContext, sandbox: Sandbox, mask: readonly string[]): Promise<Sandbox> {
    const namespace = requireNamespace(ctx);
    const id = sandbox.sandboxId;
    checkKeyPart("sandbox id", id);
    return this.#db.write(() => {
      const current = this.#db.sandboxes.get(namespace, id);
      if (current === undefined) throw notFound(`sandbox "${id}"`);
      if (mask.length === 0 && sandbox.runtime?.name !== current.runtime?.name) {
        throw invalidArgument(`update sandbox "${id}": runtime.name is immutable`);
      }
      let changed = current;
      for (const path of mask.length === 0 ? replaceable : mask) changed = applyPath(changed, sandbox, path);
      const record = normalized({ ...changed, updatedAt: now() });
      checkSandbox(record);
      this.#db.sandboxes.put(record, namespace, id);
      return record;
    });
  }

  async get(ctx: CallContext, id: string): Promise<Sandbox> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("sandbox id", id);
    const sandbox = this.#db.sandboxes.get(namespace, id);
    if (sandbox === undefined) throw notFound(`sandbox "${id}"`);
    return sandbox;
  }

  async list(ctx: CallContext, filters: readonly string[]): Promise<Sandbox[]> {
    const namespace = requireNamespace(ctx);
    const matches = compileFilters(filters);
    return this.#db.sandboxes.select([namespace], ctx.signal, (record) => matches(sandboxAdaptor(record)));
  }

  async delete(ctx: CallContext, id: string): Promise<void> {
    const namespace = requireNamespace(ctx);
    checkKeyPart("sandbox id", id);
    await this.#db.write(() => {
      if (!this.#db.sandboxes.has(namespace, id)) throw notFound(`sandbox "${id}"`);
      this.#db.sandboxes.remove(namespace, id);
    });
  }
}

function normalized(sandbox: Sandbox): Sandbox {
  return { ...sandbox, labels: withoutEmptyLabels(sandbox.labels), extensions: withoutAbsent(sandbox.extensions) };
}

function checkSandbox(sandbox: Sandbox): void {
  checkIdentifier("sandbox id", sandbox.sandboxId);
  checkLabels(sandbox.labels);
  if (sandbox.sandboxer === "") throw invalidArgument(`sandbox "${sandbox.sandboxId}": sandboxer must be set`);
  if (sandbox.extensions.has("")) {
    throw invalidArgument(`sandbox "${sandbox.sandboxId}": extension keys must not be empty`);
  }
}

function applyPath(sandbox: Sandbox, wanted: Sandbox, path: string): Sandbox {
  switch (path) {
    case "labels":
      return { ...sandbox, labels: wanted.labels };
    case "extensions":
      return { ...sandbox, extensions: wanted.extensions };
    case "spec":
      return { ...sandbox, spec: wanted.spec };
    case "runtime":
      return { ...sandbox, runtime: wanted.runtime };
  }
  const labels = maskMapField(sandbox.labels, wanted.labels, path, "labels");
  if (labels !== undefined) return { ...sandbox, labels };
  const extensions = maskMapField(sandbox.extensions, wanted.extensions, path, "extensions");
  if (extensions !== undefined) return { ...sandbox, extensions };
  throw invalidArgument(`update sandbox "${sandbox.sandboxId}": field "${path}" cannot be changed`);
}
