import { StoreDefinition } from "@ctrd/api/services/sandbox/v1/sandbox";
import type { SandboxStore } from "@ctrd/core/sandboxes";
import { required } from "../required.ts";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves a sandbox store as containerd's sandbox Store service. */
export function serveSandboxes(sandboxes: SandboxStore): BoundService {
  return bindService(StoreDefinition, {
    async create(ctx, request) {
      return { sandbox: await sandboxes.create(ctx, required(request.sandbox, "sandbox")) };
    },
    async update(ctx, request) {
      return { sandbox: await sandboxes.update(ctx, required(request.sandbox, "sandbox"), request.fields) };
    },
    async delete(ctx, request) {
      await sandboxes.delete(ctx, request.sandboxId);
      return {};
    },
    async list(ctx, request) {
      return { list: await sandboxes.list(ctx, request.filters) };
    },
    async get(ctx, request) {
      return { sandbox: await sandboxes.get(ctx, request.sandboxId) };
    },
  });
}
