import { NamespacesDefinition } from "@ctrd/api/services/namespaces/v1/namespace";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import { required } from "../required.ts";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves a namespace store as containerd's Namespaces service. The filter of List is ignored, as containerd does. */
export function serveNamespaces(namespaces: NamespaceStore): BoundService {
  return bindService(NamespacesDefinition, {
    async get(ctx, request) {
      return { namespace: await namespaces.get(ctx, request.name) };
    },
    async list(ctx) {
      return { namespaces: await namespaces.list(ctx) };
    },
    async create(ctx, request) {
      return { namespace: await namespaces.create(ctx, required(request.namespace, "namespace")) };
    },
    async update(ctx, request) {
      const namespace = required(request.namespace, "namespace");
      return { namespace: await namespaces.update(ctx, namespace, request.updateMask ?? []) };
    },
    async delete(ctx, request) {
      await namespaces.delete(ctx, request.name);
      return {};
    },
  });
}
