/**
 * Transfers: moving images between registries, archives and the image store, done by the daemon.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Any } from "./records.ts";

export const TransferPlugin: PluginType<TransferService> = pluginType("io.containerd.transfer.v1");

export interface TransferOptions {
  /** Id of the stream that is told of the progress; empty: none. */
  progressStream?: string;
}

/** Transfers between what the two `Any`s (of `containerd.types.transfer`) stand for. */
export interface TransferService {
  /** @throws `not-implemented` for a pair that there is no transfer between; the errors of pull, push … */
  transfer(ctx: CallContext, source: Any, destination: Any, options?: TransferOptions): Promise<void>;
}
