import { handlerConfig } from "../sandboxes/handlers.ts";
import type { Cri } from "../store/cri.ts";

/** Type of the runtime of a handler, as metrics name it. */
export function runtimeType({ config }: Cri, handler: string): string {
  return handlerConfig(config, handler).runtime_type;
}

/** Type of the runtime of a container; empty for one that has gone. */
export function runtimeOfContainer(cri: Cri, id: string): string {
  const container = cri.containers.find(id);
  const sandbox = container === undefined ? undefined : cri.sandboxes.find(container.metadata.sandboxId);
  return sandbox === undefined ? "" : runtimeType(cri, sandbox.metadata.runtimeHandler);
}
