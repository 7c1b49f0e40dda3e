/**
 * All targets.
 *
 * @module
 */
import type { Target } from "../target.ts";
import { archiveTargets } from "./archives.ts";
import { configTargets } from "./config.ts";
import { coreTargets } from "./core.ts";
import { documentTargets } from "./documents.ts";
import { grpcTargets } from "./grpc.ts";
import { registryTargets } from "./registry.ts";
import { streamingTargets } from "./streaming.ts";

export const targets: readonly Target[] = [
  ...coreTargets,
  ...documentTargets,
  ...configTargets,
  ...registryTargets,
  ...archiveTargets,
  ...streamingTargets,
  ...grpcTargets,
];
