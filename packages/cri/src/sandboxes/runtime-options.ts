/** The options table of a handler as the shim takes it. */
import { Options as RuncOptions } from "@ctrd/api/types/runc/options/oci";
import { Options as GenericOptions } from "@ctrd/api/types/runtimeoptions/v1/api";
import { invalidArgument } from "@ctrd/core/errors";
import type { Any } from "@ctrd/core/records";
import { protoAny } from "@ctrd/core/typeurl";
import { stringify } from "smol-toml";
import type { HandlerConfig, RuntimeConfig } from "../config/runtime-config.ts";

/** Runtimes whose shim takes the options of runc. */
const runcTypes = new Set(["io.containerd.runc.v1", "io.containerd.runc.v2"]);

/**
 * Options of a handler.
 *
 * @throws ContainerdError `invalid-argument` naming a key that the runtime does not have
 */
export function runtimeOptions(handler: HandlerConfig, config: RuntimeConfig): Any | undefined {
  if (runcTypes.has(handler.runtime_type)) return runcOptions(handler, config);
  const { TypeUrl: typeUrl = "", ConfigPath: configPath = "" } = handler.options as Record<string, string>;
  if (Object.keys(handler.options).length === 0) return undefined;
  const configBody = configPath === "" ? Buffer.from(stringify(handler.options)) : new Uint8Array();
  const message = GenericOptions.encode(GenericOptions.fromPartial({ typeUrl, configPath, configBody })).finish();
  return protoAny("runtimeoptions.v1.Options", message);
}

function runcOptions(handler: HandlerConfig, config: RuntimeConfig): Any | undefined {
  const known = RuncOptions.create();
  const values: Record<string, unknown> = {
    ...(handler.runtime_root === "" ? {} : { root: handler.runtime_root }),
    ...(handler.runtime_engine === "" ? {} : { binaryName: handler.runtime_engine }),
    ...(config.containerd.no_pivot ? { noPivotRoot: true } : {}),
    ...(config.systemd_cgroup ? { systemdCgroup: true } : {}),
  };
  for (const [key, value] of Object.entries(handler.options)) {
    // Of containerd 1.7; runc finds CRIU by itself.
    if (key === "CriuPath") continue;
    const field = key.slice(0, 1).toLowerCase() + key.slice(1);
    if (!Object.hasOwn(known, field)) {
      throw invalidArgument(`runtime handler: options.${key} is not known (runtime_type ${handler.runtime_type})`);
    }
    values[field] = value;
  }
  const message = RuncOptions.encode(RuncOptions.fromPartial(values)).finish();
  return protoAny("containerd.runc.v1.Options", message);
}

/** Whether containers of a handler get cgroups through systemd. */
export function usesSystemd(handler: HandlerConfig, config: RuntimeConfig): boolean {
  return handler.options["SystemdCgroup"] === true || config.systemd_cgroup;
}
