/**
 * The shim manager: what is common to everything that starts shims.
 *
 * @module
 */
import type { ContainerStore } from "@ctrd/core/containers";
import type { EventPublisher } from "@ctrd/core/events";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { PluginType } from "@ctrd/core/plugin";
import { pluginType } from "@ctrd/core/plugin";
import type { SandboxStore } from "@ctrd/core/sandboxes";
import type { Endpoint } from "./address.ts";
import { BinaryLookup } from "./binary-lookup.ts";
import { shimLimits } from "./limits.ts";
import type { ShimSettings } from "./shim-binary.ts";

/** Plugins of this type start shims; there is one, `manager`. */
export const ShimPlugin: PluginType<ShimManager> = pluginType("io.containerd.shim.v1");

/** Time limits, in milliseconds. */
export interface ShimTimeouts {
  /** Reconnecting to one shim at the daemon's start. */
  load: number;
  /** The `delete` of a lost shim. */
  cleanup: number;
  /** The answer to Shutdown. */
  shutdown: number;
  /** A `start`, and after it the connection; 0: no limit. */
  start: number;
  /** The answer to Create, and to what makes a sandbox; 0: no limit. */
  create: number;
}

/** Options of {@link createShimManager}. */
export interface ShimManagerOptions {
  settings: ShimSettings;
  events: EventPublisher;
  /** Tells the runtime of a container whose bundle does not name a binary. */
  containers?: Pick<ContainerStore, "get">;
  /** Tells which sandboxes are run by the Sandbox API. */
  sandboxes?: Pick<SandboxStore, "get">;
  /** `[timeouts]` of the daemon by name; absent ones have containerd's defaults. */
  timeouts?: ReadonlyMap<string, number>;
  log?: Logger;
  /** Where binaries are searched; default `PATH`. */
  searchPath?: string;
}

/** What starting, finding and cleaning up shims needs. */
export interface ShimManager {
  readonly settings: ShimSettings;
  readonly lookup: BinaryLookup;
  readonly events: EventPublisher;
  readonly containers: Pick<ContainerStore, "get"> | undefined;
  readonly sandboxes: Pick<SandboxStore, "get"> | undefined;
  readonly timeouts: ShimTimeouts;
  readonly log: Logger;
  /** Where the shims of sandboxes serve, by `<namespace>/<id>`: containers that join one are sent there. */
  readonly sandboxEndpoints: Map<string, Endpoint>;
}

/** Makes a shim manager. */
export function createShimManager(options: ShimManagerOptions): ShimManager {
  const timeout = (name: string, fallback: number): number => options.timeouts?.get(name) ?? fallback;
  return {
    settings: options.settings,
    lookup: new BinaryLookup(options.settings.daemonBinary, options.searchPath),
    events: options.events,
    containers: options.containers,
    sandboxes: options.sandboxes,
    timeouts: {
      load: timeout("io.containerd.timeout.shim.load", 5000),
      cleanup: timeout("io.containerd.timeout.shim.cleanup", 5000),
      shutdown: timeout("io.containerd.timeout.shim.shutdown", 3000),
      start: timeout(shimLimits.start.key, shimLimits.start.fallbackMs),
      create: timeout(shimLimits.create.key, shimLimits.create.fallbackMs),
    },
    log: options.log ?? silentLogger,
    sandboxEndpoints: new Map(),
  };
}
