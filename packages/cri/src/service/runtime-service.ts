/** CRI's RuntimeService: each method is one call of what does the work. */
import { RuntimeServiceDefinition } from "@ctrd/api/cri/runtime/v1/api";
import type { BoundService } from "@ctrd/services";
import { bindService } from "@ctrd/services";
import type { Cri } from "../store/cri.ts";
import { containerMethods } from "./container-methods.ts";
import { runtimeMethods } from "./runtime-methods.ts";
import { sandboxMethods } from "./sandbox-methods.ts";
import { statsMethods } from "./stats-methods.ts";
import { streamingMethods } from "./streaming-methods.ts";

/** Serves pods and containers. */
export function runtimeService(cri: Cri): BoundService {
  return bindService(RuntimeServiceDefinition, {
    ...runtimeMethods(cri),
    ...sandboxMethods(cri),
    ...containerMethods(cri),
    ...statsMethods(cri),
    ...streamingMethods(cri),
  });
}
