import { IntrospectionDefinition } from "@ctrd/api/services/introspection/v1/introspection";
import type { IntrospectionService } from "@ctrd/core/introspection";
import { answered } from "../required.ts";
import type { RpcChannel } from "../rpc/index.ts";
import { isPluginDetails, withDetails } from "./plugin-details.ts";
import { pluginStatus } from "./plugin-status.ts";

/** What a daemon behind an Introspection service is made of. */
export function proxyIntrospection(channel: RpcChannel): IntrospectionService {
  const client = channel.client(IntrospectionDefinition);
  return {
    async plugins(ctx, filters) {
      return (await client.plugins(ctx, { filters: [...filters] })).plugins.map(pluginStatus);
    },
    server: (ctx) => client.server(ctx, {}),
    async pluginInfo(ctx, type, id, options) {
      const { plugin, extra } = await client.pluginInfo(ctx, { type, id, options });
      const status = pluginStatus(answered(plugin, "a plugin"));
      if (isPluginDetails(extra)) return { plugin: withDetails(status, extra), extra: undefined };
      return { plugin: status, extra };
    },
  };
}
