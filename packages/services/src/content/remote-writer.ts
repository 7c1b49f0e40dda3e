import type {
  ContentDefinition,
  WriteContentRequest,
  WriteContentResponse,
} from "@ctrd/api/services/content/v1/content";
import { WriteAction } from "@ctrd/api/services/content/v1/content";
import type { CommitOptions, ContentWriter, IngestStatus, WriterOptions } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, invalidArgument, notImplemented, unavailable } from "@ctrd/core/errors";
import type { DuplexCall, RpcClient } from "../rpc/index.ts";

type WriteCall = DuplexCall<WriteContentRequest, WriteContentResponse>;

/** Most bytes of one message. */
const chunkSize = 1 << 20;

/** Messages of one write whose answers may be outstanding: the server stores one while the next is on its way. */
const maxOutstanding = 3;

/**
 * Opens or resumes an ingest of a remote store.
 *
 * @throws what the server answers: `already-exists`, `unavailable` when the ref is locked (retrying is the caller's)
 */
export async function openRemoteWriter(
  client: RpcClient<ContentDefinition>,
  ctx: CallContext,
  options: WriterOptions,
): Promise<ContentWriter> {
  if (options.ref === "") throw invalidArgument("open a content writer: ref must not be empty");
  const call = client.write(ctx);
  const open = request(WriteAction.STAT, {
    ref: options.ref,
    total: options.total ?? 0n,
    expected: options.expected ?? "",
  });
  try {
    await call.send(open);
  } catch {
    // The call has ended already: the answer tells why.
  }
  const answer = await receive(call, options.ref);
  return new RemoteWriter(call, answer, options);
}

class RemoteWriter implements ContentWriter {
  readonly #call: WriteCall;
  readonly #ref: string;
  readonly #expected: string;
  #offset: bigint;
  #last: WriteContentResponse;
  #outstanding: Promise<void>[] = [];
  #failure: { readonly error: unknown } | undefined;
  #closed = false;

  constructor(call: WriteCall, answer: WriteContentResponse, options: WriterOptions) {
    this.#call = call;
    this.#ref = options.ref;
    this.#expected = options.expected ?? "";
    this.#offset = answer.offset;
    this.#last = answer;
  }

  status(): IngestStatus {
    const { startedAt, updatedAt, total } = this.#last;
    return { ref: this.#ref, offset: this.#offset, total, expected: this.#expected, startedAt, updatedAt };
  }

  async write(data: Uint8Array): Promise<void> {
    this.#check();
    for (let at = 0; at < data.length; at += chunkSize) {
      const chunk = data.subarray(at, at + chunkSize);
      await this.#send(request(WriteAction.WRITE, { ref: this.#ref, offset: this.#offset, data: chunk }));
      this.#offset += BigInt(chunk.length);
      if (this.#outstanding.length >= maxOutstanding) await this.#outstanding[0];
      this.#check();
    }
    await this.#settle();
  }

  async truncate(size: bigint): Promise<void> {
    this.#check();
    if (size < 0n || size > this.#offset) {
      throw invalidArgument(`truncate ref "${this.#ref}" to ${size}: it has ${this.#offset} bytes`);
    }
    if (size === this.#offset) return;
    if (size !== 0n)
      throw notImplemented(`truncate ref "${this.#ref}" to ${size}: the Write call can only go back to 0`);
    await this.#settle();
    await this.#send(request(WriteAction.WRITE, { ref: this.#ref }));
    this.#offset = 0n;
    await this.#settle();
  }

  async digest(): Promise<string> {
    this.#check();
    await this.#settle();
    if (this.#last.digest === "") {
      await this.#send(request(WriteAction.STAT, { ref: this.#ref }));
      await this.#settle();
    }
    return this.#last.digest;
  }

  async commit(ctx: CallContext, options: CommitOptions = {}): Promise<void> {
    this.#check();
    const abort = (): void => this.#call.cancel();
    ctx.signal.addEventListener("abort", abort, { once: true });
    try {
      await this.#settle();
      await this.#send(
        request(WriteAction.COMMIT, {
          ref: this.#ref,
          offset: this.#offset,
          total: options.size !== undefined && options.size > 0n ? options.size : 0n,
          expected: options.expected ?? "",
          labels: options.labels ?? new Map(),
        }),
      );
      await this.#settle();
    } finally {
      ctx.signal.removeEventListener("abort", abort);
      await this.close();
    }
  }

  /** Ends the call and waits for the server to end it too, which is when the ref is free again. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#failure !== undefined) return;
    this.#call.end();
    try {
      while ((await this.#call.receive()) !== undefined);
    } catch {
      // Closing keeps what the server has; a call that breaks now has nothing left to lose.
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#closed) throw failedPrecondition(`write ref "${this.#ref}": the writer is closed`);
  }

  async #send(message: WriteContentRequest): Promise<void> {
    // The answer is awaited first: when the call has ended, it tells why, and sending only that it has ended.
    const answer = receive(this.#call, this.#ref).then(
      (response) => {
        this.#last = response;
      },
      (error: unknown) => {
        this.#failure ??= { error };
      },
    );
    const settled = answer.then(() => {
      this.#outstanding = this.#outstanding.filter((one) => one !== settled);
    });
    this.#outstanding.push(settled);
    try {
      await this.#call.send(message);
    } catch (error) {
      await settled;
      this.#failure ??= { error };
      throw this.#failure.error;
    }
  }

  /** Waits for every answer. @throws the failure of any write */
  async #settle(): Promise<void> {
    await Promise.all(this.#outstanding);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

async function receive(call: WriteCall, ref: string): Promise<WriteContentResponse> {
  const answer = await call.receive();
  if (answer === undefined) throw unavailable(`write ref "${ref}": the server ended the call without an answer`);
  return answer;
}

function request(action: WriteAction, fields: Partial<WriteContentRequest>): WriteContentRequest {
  return {
    action,
    ref: "",
    total: 0n,
    expected: "",
    offset: 0n,
    data: new Uint8Array(0),
    labels: new Map(),
    ...fields,
  };
}
