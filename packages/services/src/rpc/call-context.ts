import type { CallContext } from "@ctrd/core/context";
import type { Logger } from "@ctrd/core/log";
import type { Operation } from "@ctrd/core/operations";
import type { Span } from "@ctrd/core/tracing";
import { leaseHeader, namespaceHeader, ttrpcNamespaceHeader } from "@ctrd/core/namespaces";
import type { RequestHeaders } from "../http2/index.ts";
import type { ServerStream } from "./server-stream.ts";

/** What the context of an incoming call is made of. */
export interface CallParts {
  readonly log: Logger;
  readonly span: Span | undefined;
  /** Whether its log lines name its trace. */
  readonly logTraceId: boolean;
}

/** The context of an incoming call. Signal and logger are made when they are first asked for. */
export function serverContext(call: ServerStream, { log, span, logTraceId }: CallParts): CallContext {
  const { headers, path } = call;
  const namespace = firstValue(headers, namespaceHeader) || firstValue(headers, ttrpcNamespaceHeader);
  const lease = firstValue(headers, leaseHeader);
  let controller: AbortController | undefined;
  let child: Logger | undefined;
  const ctx: ServerContext = {
    namespace,
    get signal() {
      controller ??= cancellation(call);
      return controller.signal;
    },
    get log() {
      child ??= log.child({
        method: path,
        ...(namespace === "" ? {} : { namespace }),
        ...(span === undefined || !logTraceId ? {} : { trace_id: span.context.traceId, span_id: span.context.spanId }),
      });
      return child;
    },
  };
  if (lease !== "") ctx.lease = lease;
  if (span !== undefined) ctx.span = span;
  if (call.operation !== undefined) ctx.operation = call.operation;
  return ctx;
}

interface ServerContext extends Omit<CallContext, "lease" | "span" | "operation"> {
  lease?: string;
  span?: Span;
  operation?: Operation;
}

function cancellation(call: ServerStream): AbortController {
  const controller = new AbortController();
  if (call.cancelReason !== undefined) controller.abort(call.cancelReason);
  else call.onCancel(() => controller.abort(call.cancelReason));
  return controller;
}

/** The first value of a header; empty when there is none. HTTP/2 joins repeated headers with commas. */
export function firstValue(headers: RequestHeaders, name: string): string {
  const value = headers[name];
  if (value === undefined) return "";
  const comma = value.indexOf(",");
  return comma < 0 ? value : value.slice(0, comma).trim();
}
