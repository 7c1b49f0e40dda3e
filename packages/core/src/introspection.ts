/**
 * Introspection: what a daemon is made of.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { Any, Timestamp } from "./records.ts";
import type { PluginStatus } from "./plugin/index.ts";

/** Facts about a running daemon. `pidns` is the inode of its pid namespace. */
export interface ServerInfo {
  uuid: string;
  pid: bigint;
  pidns: bigint;
  deprecations: { id: string; message: string; lastOccurrence: Timestamp | undefined }[];
}

export interface IntrospectionService {
  /** Plugins that match any of `filters` (fields `type`, `id`). */
  plugins(ctx: CallContext, filters: readonly string[]): Promise<PluginStatus[]>;
  server(ctx: CallContext): Promise<ServerInfo>;
  /** One plugin; `extra` is what it answers to `options` (runtimes answer their RuntimeInfo). @throws `not-found` */
  pluginInfo(
    ctx: CallContext,
    type: string,
    id: string,
    options: Any | undefined,
  ): Promise<{ plugin: PluginStatus; extra: Any | undefined }>;
}
