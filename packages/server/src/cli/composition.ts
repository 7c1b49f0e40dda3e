import type { LoadedPlugin } from "@ctrd/core/plugin";
import { builtins, loadPackages } from "../builtins.ts";
import type { ConfigOverrides, DaemonConfig } from "../config/index.ts";
import { loadDocuments, resolveConfig } from "../config/index.ts";
import type { Arguments } from "./arguments.ts";

/** Loads the default plugins and the configuration that a command line names. */
export async function loadComposition(
  options: Arguments,
): Promise<{ plugins: readonly LoadedPlugin[]; config: DaemonConfig }> {
  const [plugins, documents] = await Promise.all([loadPackages(builtins), loadDocuments(options.config)]);
  return { plugins, config: await resolveConfig(documents, plugins, overridesOf(options)) };
}

function overridesOf({ root, state, address, logLevel }: Arguments): ConfigOverrides {
  return {
    ...(root === undefined ? {} : { root }),
    ...(state === undefined ? {} : { state }),
    ...(address === undefined ? {} : { address }),
    ...(logLevel === undefined ? {} : { logLevel }),
  };
}
