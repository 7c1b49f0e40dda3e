import type { CallContext } from "@ctrd/core/context";
import { leaseHeader, namespaceHeader } from "@ctrd/core/namespaces";
import { formatTraceparent, traceparentHeader, tracestateHeader } from "@ctrd/core/tracing";
import { Metadata } from "@grpc/grpc-js";

/** The headers that carry a context: namespace, lease and span. */
export function metadataOf(ctx: CallContext): Metadata {
  const metadata = new Metadata();
  if (ctx.namespace !== "") metadata.set(namespaceHeader, ctx.namespace);
  if (ctx.lease !== undefined && ctx.lease !== "") metadata.set(leaseHeader, ctx.lease);
  if (ctx.span !== undefined) {
    metadata.set(traceparentHeader, formatTraceparent(ctx.span.context));
    if (ctx.span.context.state !== "") metadata.set(tracestateHeader, ctx.span.context.state);
  }
  return metadata;
}
