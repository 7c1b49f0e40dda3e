import { ControllerDefinition } from "@ctrd/api/services/sandbox/v1/sandbox";
import type { SandboxController } from "@ctrd/core/sandboxes";
import { answered } from "../required.ts";
import type { RpcChannel } from "../rpc/index.ts";

/** The sandbox controller `sandboxer` behind a sandbox Controller service. */
export function proxySandboxController(channel: RpcChannel, sandboxer: string): SandboxController {
  const client = channel.client(ControllerDefinition);
  return {
    async create(ctx, sandbox, options = {}) {
      await client.create(ctx, {
        sandboxId: sandbox.sandboxId,
        rootfs: [...(options.rootfs ?? [])],
        options: options.options,
        netnsPath: options.netnsPath ?? "",
        annotations: options.annotations ?? new Map(),
        sandbox,
        sandboxer,
      });
    },
    async start(ctx, id) {
      const { sandboxId: _, ...instance } = await client.start(ctx, { sandboxId: id, sandboxer });
      return instance;
    },
    async platform(ctx, id) {
      return answered((await client.platform(ctx, { sandboxId: id, sandboxer })).platform, "a platform");
    },
    async stop(ctx, id, timeoutSeconds) {
      await client.stop(ctx, { sandboxId: id, timeoutSecs: timeoutSeconds, sandboxer });
    },
    wait: (ctx, id) => client.wait(ctx, { sandboxId: id, sandboxer }),
    async status(ctx, id, verbose) {
      const { sandboxId: _, ...status } = await client.status(ctx, { sandboxId: id, verbose, sandboxer });
      return status;
    },
    async shutdown(ctx, id) {
      await client.shutdown(ctx, { sandboxId: id, sandboxer });
    },
    async metrics(ctx, id) {
      return answered((await client.metrics(ctx, { sandboxId: id, sandboxer })).metrics, "metrics");
    },
    async update(ctx, sandbox, fields) {
      await client.update(ctx, { sandboxId: sandbox.sandboxId, sandboxer, sandbox, fields: [...fields] });
    },
  };
}
