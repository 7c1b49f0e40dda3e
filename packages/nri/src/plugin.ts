import { parseGoDuration } from "@ctrd/core/durations";
import type { Registration } from "@ctrd/core/plugin";
import { SkipPlugin } from "@ctrd/core/plugin";
import type { NodeResources } from "@ctrd/services";
import { NodeResourcesPlugin } from "@ctrd/services";
import type { NriConfig } from "./config.ts";
import { nriConfig } from "./config.ts";
import { DeferredNodeResources } from "./deferred.ts";

const nri: Registration<NodeResources, NriConfig> = {
  type: NodeResourcesPlugin,
  id: "nri",
  config: nriConfig,
  initFn({ config, log, onClose }) {
    if (config.disable) throw new SkipPlugin("NRI is switched off", "set disable = false in its table");
    if (config.default_validator["enable"] === true) {
      log.warn({}, "NRI's default validator is not built: write a validator plugin in its place");
    }
    const options = {
      socketPath: config.socket_path,
      pluginPath: config.plugin_path,
      configPath: config.plugin_config_path,
      registrationTimeoutMs: Math.ceil(parseGoDuration(config.plugin_registration_timeout)),
      requestTimeoutMs: Math.ceil(parseGoDuration(config.plugin_request_timeout)),
      disableConnections: config.disable_connections,
      log,
    };
    const resources = new DeferredNodeResources(async () => {
      const { NriNodeResources } = await import("./node-resources.ts");
      return new NriNodeResources(options);
    });
    onClose(() => resources.close());
    return resources;
  },
};

export default nri;
