import { canceled, codeFromKind, deadlineExceeded, internal } from "@ctrd/core/errors";
import type { Operation } from "@ctrd/core/operations";
import { stageText } from "@ctrd/core/operations";
import type { Http2Stream, RequestHeaders } from "../http2/index.ts";
import { encodeHeaders } from "../http2/index.ts";
import { FrameDecoder, frameMessage } from "./frames.ts";
import { MessageQueue } from "./message-queue.ts";
import type { WireStatus } from "./status.ts";

/** Limits of messages, in bytes. */
export interface MessageLimits {
  readonly maxReceiveBytes: number;
  readonly maxSendBytes: number;
}

/** Messages that may wait for the socket: one is on its way, one follows at once. */
const maxInFlight = 2;

const contentType = ["content-type", "application/grpc"] as const;
const responseHeaders = encodeHeaders([[":status", "200"], contentType]);
const okTrailers = encodeHeaders([["grpc-status", "0"]]);

/** The server's side of one call on an HTTP/2 stream. */
export class ServerStream {
  readonly path: string;
  readonly headers: RequestHeaders;
  /** What is done for it: a deadline that passes names its stage. */
  operation: Operation | undefined;
  readonly #stream: Http2Stream;
  readonly #limits: MessageLimits;
  readonly #onCancel: ((call: ServerStream) => void)[] = [];
  #cancelled: (() => Error) | undefined;
  #cancelReason: Error | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #ended = false;
  #headersSent = false;
  #inFlight = 0;
  #wake: (() => void) | undefined;

  constructor(stream: Http2Stream, path: string, limits: MessageLimits) {
    this.#stream = stream;
    this.headers = stream.headers;
    this.path = path;
    this.#limits = limits;
    stream.onAbort = () => this.#cancel(() => canceled(path));
    const timeout = this.headers["grpc-timeout"];
    if (timeout !== undefined) this.#limitTime(timeout);
  }

  /** File descriptor of the peer's socket; undefined when it is gone. */
  get socket(): number | undefined {
    const { socket } = this.#stream;
    if (socket.destroyed) return undefined;
    // Node's types do not tell of the handle below.
    const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
    // Of a socket that is being closed it is negative.
    return handle?.fd === undefined || handle.fd < 0 ? undefined : handle.fd;
  }

  /** Whether the peer left, or its deadline passed, before the call was answered. */
  get cancelled(): boolean {
    return this.#cancelled !== undefined;
  }

  /** Why the call was cancelled, if it was. */
  get cancelReason(): Error | undefined {
    // An error costs a stack trace, and most calls that are reset ask for none.
    if (this.#cancelled !== undefined) this.#cancelReason ??= this.#cancelled();
    return this.#cancelReason;
  }

  /** Calls `listener` with this call when it is cancelled. */
  onCancel(listener: (call: ServerStream) => void): void {
    this.#onCancel.push(listener);
  }

  /** The one message of the peer; it comes as soon as it is complete. */
  readOne(): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const decoder = new FrameDecoder(this.#limits.maxReceiveBytes);
      let received = false;
      const onMessage = (message: Buffer): void => {
        received = true;
        resolve(message);
      };
      this.#stream.read({
        data(chunk) {
          try {
            decoder.push(chunk, onMessage);
          } catch (error) {
            reject(error);
          }
        },
        end: () => {
          if (!received) reject(internal(`${this.path}: the request has no message`));
        },
      });
      this.onCancel((call) => {
        if (!received) reject(call.cancelReason);
      });
    });
  }

  /**
   * The messages of the peer, with back-pressure. Leaving the loop early keeps the call open for answers.
   *
   * @param allocate gives memory for a message that comes in several pieces
   */
  readMany(allocate?: (length: number) => Buffer): AsyncIterableIterator<Buffer> {
    const stream = this.#stream;
    const decoder = new FrameDecoder(this.#limits.maxReceiveBytes, allocate);
    const queue = new MessageQueue<Buffer>({
      pause: () => stream.pause(),
      resume: () => stream.resume(),
      cancel: () => stream.resume(),
    });
    stream.read({
      data(chunk) {
        try {
          decoder.push(chunk, (message) => queue.push(message));
        } catch (error) {
          queue.fail(error);
        }
      },
      end: () => {
        if (decoder.partial) queue.fail(internal(`${this.path}: the request ends within a message`));
        else queue.finish();
      },
    });
    this.onCancel((call) => queue.abort(call.cancelReason));
    return queue;
  }

  /** Sends the headers, unless that has happened. */
  sendHeaders(): void {
    if (this.#headersSent || this.#ended || this.#stream.closed) return;
    this.#headersSent = true;
    this.#stream.respond(responseHeaders);
  }

  /**
   * Sends a message; resolves when another may follow, with false when the peer has left and none may.
   *
   * @param onSent called when its bytes have left and the memory may be used again; not when the peer leaves before
   * @throws ContainerdError `resource-exhausted` when the message is too large
   */
  async send(message: Buffer, onSent?: () => void): Promise<boolean> {
    const buffers = frameMessage(message, this.#limits.maxSendBytes);
    if (this.#cancelled !== undefined) return false;
    this.sendHeaders();
    this.#inFlight++;
    this.#write(buffers, onSent === undefined ? this.#sent : () => (onSent(), this.#sent()));
    while (this.#inFlight >= maxInFlight && this.#cancelled === undefined) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#cancelled === undefined;
  }

  /** Ends the call with one message. */
  answer(message: Buffer): void {
    if (this.#ended || this.#stream.closed) return;
    const buffers = frameMessage(message, this.#limits.maxSendBytes);
    this.sendHeaders();
    this.#write(buffers);
    this.finish(undefined);
  }

  /** Ends the call: with OK, or with a status. What was sent before arrives first. */
  finish(status: WireStatus | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#deadline);
    if (this.#stream.closed) return;
    const trailers = trailersOf(status);
    if (this.#headersSent) this.#stream.end(trailers);
    else this.#stream.respond(Buffer.concat([responseHeaders, trailers]), true);
    // What the peer still sends is read and dropped, so that its flow-control window does not stay closed.
    this.#stream.discard();
  }

  readonly #sent = (): void => {
    this.#inFlight--;
    this.#wakeUp();
  };

  #write(buffers: readonly Buffer[], done?: () => void): void {
    const last = buffers.length - 1;
    buffers.forEach((buffer, index) => this.#stream.write(buffer, index === last ? done : undefined));
  }

  #cancel(reason: () => Error): void {
    if (this.#ended || this.#cancelled !== undefined) return;
    this.#cancelled = reason;
    clearTimeout(this.#deadline);
    for (const listener of this.#onCancel) listener(this);
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #limitTime(header: string): void {
    const millis = parseTimeout(header);
    // setTimeout takes at most 2^31-1 ms; a longer deadline (24 days) is as good as none.
    if (millis === undefined || millis > 0x7fff_ffff) return;
    this.#deadline = setTimeout(() => {
      const stage = this.operation === undefined ? "" : stageText(this.operation);
      const reason = deadlineExceeded(`${this.path}${stage}`);
      this.#cancel(() => reason);
      this.finish({ code: codeFromKind(reason.kind), details: reason.message });
    }, millis);
  }
}

const units: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds of a `grpc-timeout` header; undefined when it is malformed. */
function parseTimeout(header: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(header);
  const unit = units[match?.[2] ?? ""];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}

function trailersOf(status: WireStatus | undefined): Buffer {
  if (status === undefined) return okTrailers;
  // Percent-encoding leaves ASCII as it is and is undone by every client.
  return encodeHeaders([
    ["grpc-status", String(status.code)],
    ["grpc-message", encodeURI(status.details)],
  ]);
}
