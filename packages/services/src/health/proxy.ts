import { HealthCheckResponse_ServingStatus as Status, HealthDefinition } from "@ctrd/api/grpc/health/v1/health";
import type { CallContext } from "@ctrd/core/context";
import type { RpcChannel } from "../rpc/index.ts";

/**
 * Whether a server, or one of its services, serves.
 *
 * @param service full service name; empty for the server as a whole
 * @throws ContainerdError `not-found` when the server does not know the service
 */
export async function checkHealth(channel: RpcChannel, ctx: CallContext, service = ""): Promise<boolean> {
  return (await channel.client(HealthDefinition).check(ctx, { service })).status === Status.SERVING;
}
