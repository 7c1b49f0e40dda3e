/**
 * Where networks and plugins are.
 *
 * @module
 */
import { join } from "node:path";
import { root } from "../containers/directory.ts";

/** Directories that a container's network is set up with. They are kept with the container, for who starts it again. */
export interface NetworkSettings {
  /** Configurations. */
  readonly configDirectory: string;
  /** Plugins, in the order in which they are looked for. */
  readonly pluginDirectories: readonly string[];
  /** Root of all that the command line keeps. */
  readonly root: string;
}

/** Variables that set the directories. */
const [configVariable, pluginVariable] = ["CTRD_CNI_CONFIG_DIR", "CTRD_CNI_BIN_DIR"];
/** The network of containers for which none is named. */
const defaultVariable = "CTRD_NETWORK";

const usualPluginDirectories = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni:/usr/local/lib/cni";

/** The directories, from the environment or the usual ones. */
export function networkSettings(): NetworkSettings {
  return {
    configDirectory: process.env[configVariable] || "/etc/cni/net.d",
    pluginDirectories: (process.env[pluginVariable] || usualPluginDirectories).split(":").filter(Boolean),
    root: root(),
  };
}

/** The network that is meant when none is named; undefined: bridge where that is possible. */
export function defaultNetwork(): string | undefined {
  return process.env[defaultVariable] || undefined;
}

/** Where results of plugins are kept. */
export function cacheDirectory(settings: NetworkSettings): string {
  return join(settings.root, "cni");
}

/** Where addresses are kept that are in use. */
export function leaseDirectory(settings: NetworkSettings): string {
  return join(settings.root, "cni/networks");
}
