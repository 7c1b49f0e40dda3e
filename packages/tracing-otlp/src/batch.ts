/**
 * Collects spans that have ended and sends them together. What cannot be sent is tried again for a while and then lost:
 * no call of the daemon ever waits for it.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { EndedSpan, SpanProcessor, SpanResource } from "@ctrd/core/tracing";
import { encodeExport, rejectionIn } from "./encode.ts";
import type { ExportSettings } from "./environment.ts";
import type { Answer, Send } from "./send.ts";
import { openSender } from "./send.ts";

/** A processor that sends spans away. */
export interface SpanExporter extends SpanProcessor {
  /** Sends what still waits, for at most `timeoutMs` milliseconds. */
  close(timeoutMs: number): Promise<void>;
}

/** Tries of one message, and the pause before the second, in milliseconds; it doubles. */
const maxTries = 5;
const firstPauseMs = 1000;
/** Lost spans are told of once in so many milliseconds. */
const reportEveryMs = 60_000;

/** Opens the way to a collector. @throws the error of a certificate's file that cannot be read */
export function openExporter(settings: ExportSettings, log: Logger): SpanExporter {
  return new BatchExporter(settings, openSender(settings), log);
}

class BatchExporter implements SpanExporter {
  readonly #settings: ExportSettings;
  readonly #send: Send;
  readonly #log: Logger;
  readonly #closing: AbortController = new AbortController();
  #waiting: EndedSpan[] = [];
  #resource: SpanResource = {};
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #lost = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(settings: ExportSettings, send: Send, log: Logger) {
    this.#settings = settings;
    this.#send = send;
    this.#log = log;
  }

  ended(span: EndedSpan, resource: SpanResource): void {
    const { maxQueue, maxBatch, delayMs } = this.#settings;
    this.#resource = resource;
    if (this.#waiting.length >= maxQueue) {
      this.#lose(1, "too many wait");
      return;
    }
    this.#waiting.push(span);
    if (this.#waiting.length >= maxBatch) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), delayMs).unref();
  }

  async close(timeoutMs: number): Promise<void> {
    const late = setTimeout(() => this.#closing.abort(new Error("the daemon stops")), timeoutMs);
    this.#flush();
    await this.#sending;
    clearTimeout(late);
    if (this.#waiting.length > 0) this.#lose(this.#waiting.splice(0).length, "the daemon stops");
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#closing.signal.aborted) {
      const batch = this.#waiting.splice(0, this.#settings.maxBatch);
      try {
        await this.#sendOne(encodeExport(batch, this.#resource));
      } catch (error) {
        this.#lose(batch.length, messageOf(error));
      }
    }
    this.#sending = undefined;
  }

  async #sendOne(message: Uint8Array): Promise<void> {
    for (let tries = 1; ; tries++) {
      const { answer, error } = await this.#try(message);
      if (answer !== undefined && answer.refusal === undefined) {
        const rejection = rejectionIn(answer.body);
        if (rejection !== undefined) this.#log.warn({ reason: rejection }, "the collector took only some spans");
        return;
      }
      const mayRetry = answer === undefined || answer.retryAfterMs !== undefined;
      if (!mayRetry || tries >= maxTries) throw error ?? new Error(answer?.refusal);
      const pause = Math.max(answer?.retryAfterMs ?? 0, firstPauseMs * 2 ** (tries - 1) * (0.5 + Math.random() / 2));
      await sleep(pause, undefined, { signal: this.#closing.signal, ref: false });
    }
  }

  async #try(message: Uint8Array): Promise<{ answer?: Answer; error?: unknown }> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(this.#settings.timeoutMs)]);
    try {
      return { answer: await this.#send(message, signal) };
    } catch (error) {
      if (this.#closing.signal.aborted) throw error;
      return { error };
    }
  }

  #lose(count: number, reason: string): void {
    this.#lost += count;
    if (performance.now() - this.#reportedAt < reportEveryMs) return;
    this.#reportedAt = performance.now();
    this.#log.warn({ spans: this.#lost, endpoint: this.#settings.url.origin, reason }, "spans were lost");
    this.#lost = 0;
  }
}
