/**
 * Configuration of the plugins.
 *
 * @module
 */
import { arch } from "node:os";
import type { ConfigSchema } from "@ctrd/core/config";
import { z } from "zod";

/** Table `[plugins."io.containerd.shim.v1.manager"]`. */
export interface ShimManagerConfig {
  /** Added to the environment of shims, as `NAME=value`. */
  env: string[];
  /** Directory for shims' sockets; empty = the shim's own choice, /run/containerd/s. */
  socket_dir: string;
}

/** Table `[plugins."io.containerd.runtime.v2.task"]`. */
export interface RuntimeConfig {
  /** Platforms that the runtime runs, as `os/arch`. */
  platforms: string[];
}

/** Longest path of a shim socket's directory: with the 64 digits of its name it must fit a unix address. */
const maxSocketDir = 42;

/** Node's names of architectures as OCI's. */
const goArchitectures: ReadonlyMap<string, string> = new Map([
  ["x64", "amd64"],
  ["ia32", "386"],
]);

const shimManager = z.strictObject({
  env: z
    .array(z.string().regex(/^[^=\0]+=[^\0]*$/, "must be NAME=value"))
    .default([])
    .describe("Environment variables added to shim processes, as NAME=value."),
  socket_dir: z
    .string()
    .refine((path) => path === "" || (path.startsWith("/") && Buffer.byteLength(path) <= maxSocketDir), {
      message: `must be an absolute path of at most ${maxSocketDir} bytes`,
    })
    .default("")
    .describe("Directory for the sockets of shims; empty leaves it to the shim."),
});

const runtime = z.strictObject({
  platforms: z
    .array(z.string().regex(/^[^/]+\/[^/]+(\/[^/]+)?$/, "must be os/arch"))
    .default([defaultPlatform()])
    .describe("Platforms that the runtime runs."),
});

/** Schema of the shim manager's table. */
export const shimManagerConfig: ConfigSchema<ShimManagerConfig> = {
  standard: shimManager,
  jsonSchema: () => z.toJSONSchema(shimManager, { io: "input" }),
};

/** Schema of the runtime's table. */
export const runtimeConfig: ConfigSchema<RuntimeConfig> = {
  standard: runtime,
  jsonSchema: () => z.toJSONSchema(runtime, { io: "input" }),
};

function defaultPlatform(): string {
  return `linux/${goArchitectures.get(arch()) ?? arch()}`;
}
