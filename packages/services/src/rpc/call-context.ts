import type { CallContext } from "@ctrd/core/context";
import type { Logger } from "@ctrd/core/log";
import { leaseHeader, namespaceHeader, ttrpcNamespaceHeader } from "@ctrd/core/namespaces";
import type { IncomingHttpHeaders } from "node:http2";
import type { ServerStream } from "./server-stream.ts";

/** The context of an incoming call. Signal and logger are made when they are first asked for. */
export function serverContext(call: ServerStream, log: Logger): CallContext {
  const { headers, path } = call;
  const namespace = firstValue(headers, namespaceHeader) || firstValue(headers, ttrpcNamespaceHeader);
  const lease = firstValue(headers, leaseHeader);
  let controller: AbortController | undefined;
  let child: Logger | undefined;
  const ctx: { namespace: string; lease?: string; readonly signal: AbortSignal; readonly log: Logger } = {
    namespace,
    get signal() {
      controller ??= cancellation(call);
      return controller.signal;
    },
    get log() {
      child ??= log.child(namespace === "" ? { method: path } : { method: path, namespace });
      return child;
    },
  };
  if (lease !== "") ctx.lease = lease;
  return ctx;
}

function cancellation(call: ServerStream): AbortController {
  const controller = new AbortController();
  if (call.cancelReason !== undefined) controller.abort(call.cancelReason);
  else call.onCancel(() => controller.abort(call.cancelReason));
  return controller;
}

/** The first value of a header; empty when there is none. HTTP/2 joins repeated headers with commas. */
function firstValue(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  if (typeof value !== "string") return "";
  const comma = value.indexOf(",");
  return comma < 0 ? value : value.slice(0, comma).trim();
}
