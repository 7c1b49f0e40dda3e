/**
 * Traces: which part of a call took how long, in this daemon and in those it calls. A context carries the span that is
 * open; without one, which is the rule, nothing is measured and nothing is paid.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { StageDetails } from "./operations.ts";
import type { PluginRef, PluginType } from "./plugin/index.ts";
import { pluginRef, pluginType } from "./plugin/index.ts";

/** Identity of a span, as W3C's `traceparent` carries it from process to process. */
export interface SpanContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** Whether the trace is recorded. */
  readonly sampled: boolean;
  /** W3C's `tracestate`, handed on as it came; empty for none. */
  readonly state: string;
}

/** What is told of a span. */
export type SpanAttributes = Readonly<Record<string, string | number | bigint | boolean>>;

/** Whose work a span is: a call that came in, one that goes out, or something between. */
export type SpanKind = "internal" | "server" | "client";

/** A piece of work that is under way. */
export interface Span {
  readonly context: SpanContext;
  /** Begins a part of it. */
  child(name: string, kind?: SpanKind, attributes?: SpanAttributes): Span;
  /** Tells more of it; after its end nothing. */
  set(attributes: SpanAttributes): void;
  /** Ends it, with the error that ended it if there was one. Only the first call counts. */
  end(error?: unknown): void;
}

/** Makes spans. */
export interface Tracer {
  /** Begins the span of a call that came in; with the caller's span, where that came along. */
  start(name: string, kind: SpanKind, parent: SpanContext | undefined, attributes?: SpanAttributes): Span;
}

/** A span that has ended. Times are nanoseconds since the epoch. */
export interface EndedSpan {
  readonly context: SpanContext;
  /** Span id of what it is a part of; empty for a root. */
  readonly parentId: string;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: SpanAttributes;
  /** Message of the error that ended it. */
  readonly error?: string;
}

/** What is told of the program that spans come from. */
export type SpanResource = SpanAttributes;

/** Takes spans that have ended. */
export interface SpanProcessor {
  /** Must not wait and must not throw. `resource` is the same for all spans of a tracer. */
  ended(span: EndedSpan, resource: SpanResource): void;
}

/** Plugins that take spans. */
export const TracingProcessorPlugin: PluginType<SpanProcessor> = pluginType("io.containerd.tracing.processor.v1");

/** The daemon's tracer; skipped when nothing takes its spans. */
export const TracerRef: PluginRef<Tracer> = pluginRef(pluginType("io.containerd.internal.v1"), "tracing");

/** Names of the headers and metadata that carry a span. */
export const traceparentHeader = "traceparent";
export const tracestateHeader = "tracestate";

/** Reads `traceparent`; undefined when it is malformed, as the specification wants it. */
export function parseTraceparent(text: string, state = ""): SpanContext | undefined {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text);
  const [, version = "", traceId = "", spanId = "", flags = "", more] = match ?? [];
  if (match === null || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1, state };
}

/** The `traceparent` of a span. */
export function formatTraceparent({ traceId, spanId, sampled }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${sampled ? 1 : 0}`;
}

/** The same context, its work being part of `span`. */
export function withSpan(ctx: CallContext, span: Span | undefined): CallContext {
  return span === undefined ? ctx : { ...ctx, span };
}

/** Runs `work` as a stage of the operation of `ctx` and a part of its span; without either it just runs it. */
export async function traced<T>(
  ctx: CallContext,
  name: string,
  attributes: SpanAttributes,
  work: (ctx: CallContext) => Promise<T>,
  kind: SpanKind = "internal",
): Promise<T> {
  if (ctx.span === undefined && ctx.operation === undefined) return work(ctx);
  const leave = ctx.operation?.enter(name.replace(".", " "), stageDetails(attributes));
  const span = ctx.span?.child(name, kind, attributes);
  try {
    const result = await work(span === undefined ? ctx : { ...ctx, span });
    span?.end();
    return result;
  } catch (error) {
    span?.end(error);
    throw error;
  } finally {
    leave?.();
  }
}

/** What a stage is about, as far as the attributes of its span tell. */
function stageDetails(attributes: SpanAttributes): StageDetails | undefined {
  const { "content.digest": digest, "url.full": url } = attributes;
  if (typeof digest === "string") return { object: { kind: "content", id: digest } };
  return typeof url === "string" ? { object: { kind: "URL", id: url } } : undefined;
}
