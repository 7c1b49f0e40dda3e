import { RuntimeInfo, RuntimeRequest } from "@ctrd/api/types/introspection";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, notFound, notImplemented } from "@ctrd/core/errors";
import { compileFilters, pluginAdaptor } from "@ctrd/core/filters";
import type { IntrospectionService } from "@ctrd/core/introspection";
import type { PluginStatus } from "@ctrd/core/plugin";
import type { Any } from "@ctrd/core/records";
import type { TaskRuntime } from "@ctrd/core/tasks";
import { RuntimePlugin } from "@ctrd/core/tasks";
import { protoAny, typeName } from "@ctrd/core/typeurl";
import { stat } from "node:fs/promises";
import { readServerUuid } from "./server-uuid.ts";

/** What {@link introspectionService} tells about. */
export interface IntrospectionSources {
  /** Every plugin with its state, at the time of the call. */
  readonly plugins: () => readonly PluginStatus[];
  /** Runtimes by plugin id; they answer questions about themselves. */
  readonly runtimes: ReadonlyMap<string, TaskRuntime>;
  /** Persistent directory of the service, for the server's uuid. */
  readonly root: string;
}

/** Tells what the daemon is made of. */
export function introspectionService(sources: IntrospectionSources): IntrospectionService {
  let uuid: Promise<string> | undefined;
  const serverUuid = (): Promise<string> => {
    uuid ??= readServerUuid(sources.root).catch((error: unknown) => {
      uuid = undefined;
      throw error;
    });
    return uuid;
  };
  return {
    async plugins(_ctx, filters) {
      const matches = compileFilters(filters);
      return sources.plugins().filter((plugin) => matches(pluginAdaptor(plugin)));
    },
    async server() {
      const pidns = (await stat("/proc/self/ns/pid", { bigint: true })).ino;
      return { uuid: await serverUuid(), pid: BigInt(process.pid), pidns, deprecations: [] };
    },
    async pluginInfo(ctx, type, id, options) {
      const plugin = sources.plugins().find((candidate) => candidate.type === type && candidate.id === id);
      if (plugin === undefined) throw notFound(`plugin "${type}.${id}"`);
      const extra = options === undefined ? undefined : await extraInfo(sources, ctx, plugin, options);
      return { plugin, extra };
    },
  };
}

/** What a plugin answers to a question about itself. Runtimes do; no other type has questions. */
async function extraInfo(
  sources: IntrospectionSources,
  ctx: CallContext,
  plugin: PluginStatus,
  options: Any,
): Promise<Any> {
  const name = `${plugin.type}.${plugin.id}`;
  if (plugin.state !== "ok") {
    throw failedPrecondition(
      `information of plugin "${name}": it is ${plugin.state}${plugin.error ? `: ${plugin.error}` : ""}`,
    );
  }
  const runtime = plugin.type === RuntimePlugin.name ? sources.runtimes.get(plugin.id) : undefined;
  if (runtime === undefined) throw notImplemented(`plugin "${name}" has no further information`);
  if (typeName(options.typeUrl) !== "containerd.types.RuntimeRequest") {
    throw notImplemented(`plugin "${name}" does not know options of type "${options.typeUrl}"`);
  }
  const info = await runtime.info(ctx, RuntimeRequest.decode(options.value));
  return protoAny("containerd.types.RuntimeInfo", RuntimeInfo.encode(info).finish());
}
