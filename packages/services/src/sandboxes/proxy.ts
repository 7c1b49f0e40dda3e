import { StoreDefinition } from "@ctrd/api/services/sandbox/v1/sandbox";
import type { SandboxStore } from "@ctrd/core/sandboxes";
import { answered } from "../required.ts";
import type { RpcChannel } from "../rpc/index.ts";

/** The sandbox store behind a sandbox Store service. */
export function proxySandboxes(channel: RpcChannel): SandboxStore {
  const client = channel.client(StoreDefinition);
  return {
    async create(ctx, sandbox) {
      return answered((await client.create(ctx, { sandbox })).sandbox, "a sandbox");
    },
    async update(ctx, sandbox, mask) {
      return answered((await client.update(ctx, { sandbox, fields: [...mask] })).sandbox, "a sandbox");
    },
    async get(ctx, id) {
      return answered((await client.get(ctx, { sandboxId: id })).sandbox, "a sandbox");
    },
    async list(ctx, filters) {
      return (await client.list(ctx, { filters: [...filters] })).list;
    },
    async delete(ctx, id) {
      await client.delete(ctx, { sandboxId: id });
    },
  };
}
