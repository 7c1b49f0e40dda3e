/**
 * Whether a pod can be started while it is put on its networks.
 *
 * @module
 */
import { basename } from "node:path";
import type { HandlerConfig } from "../config/runtime-config.ts";
import type { SandboxMetadata } from "./sandbox.ts";

/** Programs that make namespaces and cgroups, and do not look at what interfaces there are. */
const indifferent = new Set(["", "runc", "crun"]);

/**
 * Whether a runtime wants the networks of a pod first. Virtual machines and gVisor look at the interfaces when they start;
 * hooks of a base spec may; and settings of the pod's kernel (`net.ipv4.conf.eth0…`) may be about one.
 */
export function wantsNetworkFirst(handler: HandlerConfig, { config }: Pick<SandboxMetadata, "config">): boolean {
  const { options, runtime_engine: engine } = handler;
  const program = basename(String(options["BinaryName"] ?? engine));
  return (
    handler.runtime_type !== "io.containerd.runc.v2" ||
    handler.runtime_path !== "" ||
    handler.sandboxer !== "podsandbox" ||
    handler.base_runtime_spec !== "" ||
    !indifferent.has(program) ||
    (config.linux?.sysctls.size ?? 0) > 0
  );
}
