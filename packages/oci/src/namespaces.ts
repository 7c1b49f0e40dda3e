/**
 * Namespaces: new ones, the host's, or those of another process.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import type { SpecOption } from "./context.ts";
import { linuxOf } from "./context.ts";
import { requireAbsolute } from "./paths.ts";
import type { IdMapping } from "./spec.ts";
import type { Namespace, NamespaceType } from "./spec-linux.ts";

/** Shares a namespace with the runtime, which is the host's unless the daemon has its own. */
export function withHostNamespace(type: NamespaceType): SpecOption {
  return (_context, spec) => {
    const linux = linuxOf(spec);
    linux.namespaces = (linux.namespaces ?? []).filter((namespace) => namespace.type !== type);
  };
}

/** Gives the container a new namespace, or with `path` (`/proc/<pid>/ns/…`) lets it join that one. */
export function withNamespace(type: NamespaceType, path?: string): SpecOption {
  if (path !== undefined) requireAbsolute(`path of ${type} namespace`, path);
  const wanted: Namespace = path === undefined ? { type } : { type, path };
  return (_context, spec) => {
    const linux = linuxOf(spec);
    const namespaces = [...(linux.namespaces ?? [])];
    const place = namespaces.findIndex((namespace) => namespace.type === type);
    namespaces[place === -1 ? namespaces.length : place] = { ...wanted };
    linux.namespaces = namespaces;
  };
}

/** Gives the container a user namespace and adds these ranges to its maps. */
export function withUserNamespace(uidMappings: readonly IdMapping[], gidMappings: readonly IdMapping[]): SpecOption {
  for (const mapping of [...uidMappings, ...gidMappings]) checkMapping(mapping);
  return (_context, spec) => {
    const linux = linuxOf(spec);
    const namespaces = linux.namespaces ?? [];
    const present = namespaces.some((namespace) => namespace.type === "user");
    linux.namespaces = present ? namespaces : [...namespaces, { type: "user" }];
    linux.uidMappings = [...(linux.uidMappings ?? []), ...structuredClone([...uidMappings])];
    linux.gidMappings = [...(linux.gidMappings ?? []), ...structuredClone([...gidMappings])];
  };
}

function checkMapping({ containerID, hostID, size }: IdMapping): void {
  const end = 2 ** 32;
  const good = [containerID, hostID, size].every((value) => Number.isInteger(value) && value >= 0 && value < end);
  if (!good || size === 0 || containerID + size > end || hostID + size > end) {
    throw invalidArgument(`id mapping ${containerID}:${hostID}:${size} does not fit 32 bits, or is empty`);
  }
}
