import { OperationsDefinition } from "@ctrd/api/ctrd/services/operations/v1/operations";
import type { OperationService } from "@ctrd/core/operations";
import type { RpcChannel } from "../rpc/index.ts";

/** What the daemon behind a channel is doing. A containerd answers `not-implemented`. */
export function proxyOperations(channel: RpcChannel): OperationService {
  const client = channel.client(OperationsDefinition);
  return { list: async (ctx, request) => (await client.list(ctx, request)).operations };
}
