/**
 * Spans, and which of them are recorded.
 *
 * @module
 */
import { randomFillSync } from "node:crypto";
import { messageOf } from "@ctrd/core/errors";
import type {
  Span,
  SpanAttributes,
  SpanContext,
  SpanKind,
  SpanProcessor,
  SpanResource,
  Tracer,
} from "@ctrd/core/tracing";
import type { SamplingSettings } from "./environment.ts";

/** What the spans of one tracer share. */
interface Shared {
  readonly processors: readonly SpanProcessor[];
  readonly resource: SpanResource;
}

/** Makes a tracer. */
export function createTracer(
  processors: readonly SpanProcessor[],
  sampling: SamplingSettings,
  resource: SpanResource,
): Tracer {
  const shared: Shared = { processors, resource };
  return {
    start(name, kind, parent, attributes = {}) {
      const traceId = parent?.traceId ?? randomId(16);
      const isRecorded = sampling.byParent && parent !== undefined ? parent.sampled : isChosen(traceId, sampling.ratio);
      const state = parent?.state ?? "";
      if (!isRecorded) {
        return new PassedSpan({ traceId, spanId: parent?.spanId ?? randomId(8), sampled: false, state });
      }
      const context = { traceId, spanId: randomId(8), sampled: true, state };
      // Milliseconds of the clock on the wall when `performance` says 0: what follows is measured steadily.
      const epochMs = Date.now() - performance.now();
      return new RecordedSpan(shared, epochMs, { context, parentId: parent?.spanId ?? "", name, kind }, attributes);
    },
  };
}

/** The same traces are chosen wherever they are decided on by this rule, OpenTelemetry's. */
function isChosen(traceId: string, ratio: number): boolean {
  if (ratio >= 1) return true;
  return Number(BigInt(`0x${traceId.slice(16)}`) >> 1n) < ratio * 2 ** 63;
}

const idPool = Buffer.alloc(4096);
let idOffset = idPool.length;

/** Hexadecimal digits of so many random bytes. */
function randomId(bytes: number): string {
  if (idOffset + bytes > idPool.length) {
    randomFillSync(idPool);
    idOffset = 0;
  }
  idOffset += bytes;
  return idPool.toString("hex", idOffset - bytes, idOffset);
}

interface SpanFacts {
  readonly context: SpanContext;
  readonly parentId: string;
  readonly name: string;
  readonly kind: SpanKind;
}

class RecordedSpan implements Span {
  readonly #shared: Shared;
  readonly #epochMs: number;
  readonly #facts: SpanFacts;
  readonly #start: number = performance.now();
  #attributes: SpanAttributes;
  #isOver = false;

  constructor(shared: Shared, epochMs: number, facts: SpanFacts, attributes: SpanAttributes) {
    this.#shared = shared;
    this.#epochMs = epochMs;
    this.#facts = facts;
    this.#attributes = attributes;
  }

  get context(): SpanContext {
    return this.#facts.context;
  }

  child(name: string, kind: SpanKind = "internal", attributes: SpanAttributes = {}): Span {
    const { context } = this.#facts;
    const facts = { context: { ...context, spanId: randomId(8) }, parentId: context.spanId, name, kind };
    return new RecordedSpan(this.#shared, this.#epochMs, facts, attributes);
  }

  set(attributes: SpanAttributes): void {
    this.#attributes = { ...this.#attributes, ...attributes };
  }

  end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const span = {
      ...this.#facts,
      startNs: this.#nanoseconds(this.#start),
      endNs: this.#nanoseconds(performance.now()),
      attributes: this.#attributes,
      ...(error === undefined ? {} : { error: messageOf(error) }),
    };
    for (const processor of this.#shared.processors) processor.ended(span, this.#shared.resource);
  }

  /** To the microsecond, which is what there is. */
  #nanoseconds(at: number): bigint {
    return BigInt(Math.round((this.#epochMs + at) * 1000)) * 1000n;
  }
}

/** A span that is not recorded: it only hands on which trace it belongs to. */
class PassedSpan implements Span {
  readonly context: SpanContext;

  constructor(context: SpanContext) {
    this.context = context;
  }

  child(): Span {
    return this;
  }

  set(): void {}

  end(): void {}
}
