import { IntrospectionDefinition } from "@ctrd/api/services/introspection/v1/introspection";
import type { IntrospectionService } from "@ctrd/core/introspection";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";
import { pluginDetails } from "./plugin-details.ts";
import { pluginMessage } from "./plugin-status.ts";

/**
 * Serves containerd's Introspection service. A plugin that has nothing to say for itself answers a question without
 * options with its details, which `proxyIntrospection` makes a whole status of.
 */
export function serveIntrospection(introspection: IntrospectionService): BoundService {
  return bindService(IntrospectionDefinition, {
    async plugins(ctx, request) {
      return { plugins: (await introspection.plugins(ctx, request.filters)).map(pluginMessage) };
    },
    server: (ctx) => introspection.server(ctx),
    async pluginInfo(ctx, request) {
      const { plugin, extra } = await introspection.pluginInfo(ctx, request.type, request.id, request.options);
      const details = request.options === undefined ? pluginDetails(plugin) : undefined;
      return { plugin: pluginMessage(plugin), extra: extra ?? details };
    },
  });
}
