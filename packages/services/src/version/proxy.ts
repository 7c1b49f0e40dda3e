import { VersionDefinition } from "@ctrd/api/services/version/v1/version";
import type { CallContext } from "@ctrd/core/context";
import type { RpcChannel } from "../rpc/index.ts";
import type { VersionInfo } from "./serve.ts";

/** Asks a daemon for its version. */
export function fetchVersion(channel: RpcChannel, ctx: CallContext): Promise<VersionInfo> {
  return channel.client(VersionDefinition).version(ctx, {});
}
