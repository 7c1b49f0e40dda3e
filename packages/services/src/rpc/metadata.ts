import type { CallContext } from "@ctrd/core/context";
import { leaseHeader, namespaceHeader } from "@ctrd/core/namespaces";
import { Metadata } from "@grpc/grpc-js";

/** The headers that carry a context: namespace and lease. */
export function metadataOf(ctx: CallContext): Metadata {
  const metadata = new Metadata();
  if (ctx.namespace !== "") metadata.set(namespaceHeader, ctx.namespace);
  if (ctx.lease !== undefined && ctx.lease !== "") metadata.set(leaseHeader, ctx.lease);
  return metadata;
}
