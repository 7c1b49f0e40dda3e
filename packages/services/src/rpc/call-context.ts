import type { CallContext } from "@ctrd/core/context";
import { canceled, deadlineExceeded } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { leaseHeader, namespaceHeader, ttrpcNamespaceHeader } from "@ctrd/core/namespaces";
import type { Metadata } from "@grpc/grpc-js";

/** What a grpc-js server call offers, as far as contexts need it. */
export interface ServerCallLike {
  readonly metadata: Metadata;
  readonly cancelled: boolean;
  getPath(): string;
  getDeadline(): Date | number;
  once(event: "cancelled", listener: () => void): unknown;
}

/** A call's context, and how to tell that its handler has finished. */
export interface ServerContext {
  readonly ctx: CallContext;
  /** From now on nothing aborts the signal: the transport reports the end of every call as a cancellation. */
  finish(): void;
}

/** Makes the context of an incoming call. Signal and logger are made when they are first asked for. */
export function serverContext(call: ServerCallLike, log: Logger): ServerContext {
  const namespace = firstValue(call.metadata, namespaceHeader) || firstValue(call.metadata, ttrpcNamespaceHeader);
  const lease = firstValue(call.metadata, leaseHeader);
  let finished = false;
  let controller: AbortController | undefined;
  let child: Logger | undefined;
  const abort = (): void => {
    if (!finished) controller?.abort(cancellationReason(call));
  };
  const ctx: { namespace: string; lease?: string; readonly signal: AbortSignal; readonly log: Logger } = {
    namespace,
    get signal() {
      if (controller === undefined) {
        controller = new AbortController();
        if (call.cancelled) abort();
        else call.once("cancelled", abort);
      }
      return controller.signal;
    },
    get log() {
      child ??= log.child(namespace === "" ? { method: call.getPath() } : { method: call.getPath(), namespace });
      return child;
    },
  };
  if (lease !== "") ctx.lease = lease;
  return {
    ctx,
    finish() {
      finished = true;
    },
  };
}

function cancellationReason(call: ServerCallLike): Error {
  const deadline = call.getDeadline();
  const passed = Number(deadline) <= Date.now();
  return passed ? deadlineExceeded(`${call.getPath()}`) : canceled(`${call.getPath()}`);
}

/** The first value of a header; empty when there is none. HTTP/2 joins repeated headers with commas. */
function firstValue(metadata: Metadata, header: string): string {
  const value = metadata.get(header)[0];
  if (typeof value !== "string") return "";
  const comma = value.indexOf(",");
  return comma < 0 ? value : value.slice(0, comma).trim();
}
