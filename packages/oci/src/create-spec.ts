/**
 * Making a spec.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import { checkIdentifier } from "@ctrd/core/identifiers";
import type { SpecContext, SpecOption } from "./context.ts";
import { applyOptions } from "./context.ts";
import { defaultSpec } from "./default-spec.ts";
import type { Spec } from "./spec.ts";

/**
 * Makes the spec of a container: the default one, changed by `options` in their order.
 *
 * Whatever the options did, the inheritable capability set is empty in the end (GO-2024-2846), and with it the ambient
 * set, which is a part of it.
 *
 * @throws ContainerdError `invalid-argument` for a malformed id, namespace or value, and what the options throw
 */
export async function createSpec(context: SpecContext, ...options: readonly SpecOption[]): Promise<Spec> {
  checkIdentifier("namespace", context.namespace);
  checkIdentifier("container", context.id);
  const spec = defaultSpec(context.namespace, context.id);
  await applyOptions(context, spec, options);
  context.signal.throwIfAborted();
  const capabilities = spec.process?.capabilities;
  if (capabilities !== undefined) {
    delete capabilities.inheritable;
    delete capabilities.ambient;
  }
  return spec;
}

/** Starts from another spec instead of the default one, as from a file. It is copied. */
export function withBaseSpec(base: Readonly<Spec>): SpecOption {
  return (_context, spec) => {
    if (typeof base.ociVersion !== "string") throw invalidArgument("spec has no ociVersion: it is no runtime spec");
    for (const key of Object.keys(spec)) delete (spec as Partial<Spec>)[key as keyof Spec];
    Object.assign(spec, structuredClone(base));
  };
}
