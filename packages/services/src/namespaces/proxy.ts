import { NamespacesDefinition } from "@ctrd/api/services/namespaces/v1/namespace";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import { answered } from "../required.ts";
import type { RpcChannel } from "../rpc/index.ts";

/** The namespace store behind a Namespaces service. */
export function proxyNamespaces(channel: RpcChannel): NamespaceStore {
  const client = channel.client(NamespacesDefinition);
  return {
    async get(ctx, name) {
      return answered((await client.get(ctx, { name })).namespace, "a namespace");
    },
    async list(ctx) {
      return (await client.list(ctx, { filter: "" })).namespaces;
    },
    async create(ctx, namespace) {
      return answered((await client.create(ctx, { namespace })).namespace, "a namespace");
    },
    async update(ctx, namespace, mask) {
      return answered((await client.update(ctx, { namespace, updateMask: [...mask] })).namespace, "a namespace");
    },
    async delete(ctx, name) {
      await client.delete(ctx, { name });
    },
  };
}
