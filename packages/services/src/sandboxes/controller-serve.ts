import { ControllerDefinition } from "@ctrd/api/services/sandbox/v1/sandbox";
import type { Sandbox } from "@ctrd/core/sandboxes";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";
import type { SandboxControllerLookup } from "./controller-lookup.ts";

/** Serves sandbox controllers as containerd's Controller service. Each request names the controller it is for. */
export function serveSandboxControllers(controllers: SandboxControllerLookup): BoundService {
  return bindService(ControllerDefinition, {
    async create(ctx, request) {
      const { sandboxId, rootfs, options, netnsPath, annotations, sandboxer } = request;
      const sandbox = request.sandbox ?? emptySandbox(sandboxId, sandboxer);
      await controllers.get(sandboxer).create(ctx, sandbox, { rootfs, options, netnsPath, annotations });
      return { sandboxId };
    },
    async start(ctx, { sandboxId, sandboxer }) {
      return { sandboxId, ...(await controllers.get(sandboxer).start(ctx, sandboxId)) };
    },
    async platform(ctx, { sandboxId, sandboxer }) {
      return { platform: { ...(await controllers.get(sandboxer).platform(ctx, sandboxId)), osFeatures: [] } };
    },
    async stop(ctx, { sandboxId, sandboxer, timeoutSecs }) {
      await controllers.get(sandboxer).stop(ctx, sandboxId, timeoutSecs);
      return {};
    },
    wait: async (ctx, { sandboxId, sandboxer }) => controllers.get(sandboxer).wait(ctx, sandboxId),
    async status(ctx, { sandboxId, sandboxer, verbose }) {
      return { sandboxId, ...(await controllers.get(sandboxer).status(ctx, sandboxId, verbose)) };
    },
    async shutdown(ctx, { sandboxId, sandboxer }) {
      await controllers.get(sandboxer).shutdown(ctx, sandboxId);
      return {};
    },
    async metrics(ctx, { sandboxId, sandboxer }) {
      return { metrics: await controllers.get(sandboxer).metrics(ctx, sandboxId) };
    },
    async update(ctx, { sandboxId, sandboxer, sandbox, fields }) {
      await controllers.get(sandboxer).update(ctx, sandbox ?? emptySandbox(sandboxId, sandboxer), fields);
      return {};
    },
  });
}

/** Older clients send no record with the id. */
function emptySandbox(sandboxId: string, sandboxer: string): Sandbox {
  return {
    sandboxId,
    runtime: undefined,
    spec: undefined,
    labels: new Map(),
    createdAt: undefined,
    updatedAt: undefined,
    extensions: new Map(),
    sandboxer,
  };
}
