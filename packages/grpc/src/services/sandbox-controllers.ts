import { SandboxCreate, SandboxExit, SandboxStart } from "@ctrd/api/events/sandbox";
import type { EventPublisher } from "@ctrd/core/events";
import type { SandboxController } from "@ctrd/core/sandboxes";
import { protoAny } from "@ctrd/core/typeurl";

/**
 * The sandbox controller that tells what becomes of its sandboxes: `/sandboxes/create`, `/sandboxes/start`, and
 * `/sandboxes/exit` whenever a wait for one ends.
 */
export function publishingController(controller: SandboxController, events: EventPublisher): SandboxController {
  return {
    async create(ctx, sandbox, options) {
      await controller.create(ctx, sandbox, options);
      const event = SandboxCreate.encode({ sandboxId: sandbox.sandboxId }).finish();
      await events.publish(ctx, "/sandboxes/create", protoAny("containerd.events.SandboxCreate", event));
    },
    async start(ctx, id) {
      const instance = await controller.start(ctx, id);
      const event = SandboxStart.encode({ sandboxId: id }).finish();
      await events.publish(ctx, "/sandboxes/start", protoAny("containerd.events.SandboxStart", event));
      return instance;
    },
    platform: (ctx, id) => controller.platform(ctx, id),
    stop: (ctx, id, timeoutSeconds) => controller.stop(ctx, id, timeoutSeconds),
    async wait(ctx, id) {
      const exit = await controller.wait(ctx, id);
      const event = SandboxExit.encode({ sandboxId: id, ...exit }).finish();
      await events.publish(ctx, "/sandboxes/exit", protoAny("containerd.events.SandboxExit", event));
      return exit;
    },
    status: (ctx, id, verbose) => controller.status(ctx, id, verbose),
    shutdown: (ctx, id) => controller.shutdown(ctx, id),
    metrics: (ctx, id) => controller.metrics(ctx, id),
    update: (ctx, sandbox, fields) => controller.update(ctx, sandbox, fields),
  };
}
