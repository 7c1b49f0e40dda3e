import type { WriteContentRequest, WriteContentResponse } from "@ctrd/api/services/content/v1/content";
import { WriteAction } from "@ctrd/api/services/content/v1/content";
import type { CommitOptions, ContentStore, ContentWriter, WriterOptions } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { isDigest } from "@ctrd/core/digests";
import { inStage } from "@ctrd/core/operations";
import { alreadyExists, failedPrecondition, invalidArgument, isKind, outOfRange } from "@ctrd/core/errors";

/**
 * Runs a Write stream: one answer for each request, and the last one again when the stream ends without an error,
 * after COMMIT or when the client has no more. The ref is locked until then.
 */
export async function* writeContent(
  store: ContentStore,
  ctx: CallContext,
  requests: AsyncIterable<WriteContentRequest>,
): AsyncGenerator<WriteContentResponse> {
  let session: WriteSession | undefined;
  let last: WriteContentResponse | undefined;
  const leave = ctx.operation?.enter("receive data from its client");
  try {
    for await (const request of requests) {
      session ??= await openSession(store, ctx, request);
      last = await session.handle(request);
      yield last;
      if (request.action === WriteAction.COMMIT) break;
    }
    if (last === undefined) throw invalidArgument("write content: the first message must name a ref");
    yield last;
  } finally {
    await session?.close();
    leave?.();
  }
}

async function openSession(store: ContentStore, ctx: CallContext, first: WriteContentRequest): Promise<WriteSession> {
  if (first.ref === "") throw invalidArgument("write content: the first message must name a ref");
  const options: WriterOptions = { ref: first.ref };
  ctx.operation?.concerns({ kind: "ingest", id: first.ref });
  if (first.total > 0n) options.total = first.total;
  // A digest that is malformed is told at COMMIT, not here.
  if (isDigest(first.expected)) options.expected = first.expected;
  return new WriteSession(store, ctx, first.ref, await store.writer(ctx, options));
}

/** One Write stream: its writer, and what its messages have said so far. */
class WriteSession {
  readonly #store: ContentStore;
  readonly #ctx: CallContext;
  readonly #ref: string;
  readonly #writer: ContentWriter;
  #total = 0n;
  #expected = "";
  #closed = false;

  constructor(store: ContentStore, ctx: CallContext, ref: string, writer: ContentWriter) {
    this.#store = store;
    this.#ctx = ctx;
    this.#ref = ref;
    this.#writer = writer;
  }

  async handle(request: WriteContentRequest): Promise<WriteContentResponse> {
    this.#note(request);
    if (request.expected !== "") await this.#stopWhenPresent(request.expected);
    if (request.action === WriteAction.STAT) return this.#answer(request.action);
    if (request.action !== WriteAction.WRITE && request.action !== WriteAction.COMMIT) {
      throw invalidArgument(`write ref "${this.#ref}": unknown action ${String(request.action)}`);
    }
    await this.#append(request);
    const answer = await this.#answer(request.action);
    if (request.action === WriteAction.COMMIT) await this.#commit(request, answer.digest);
    return answer;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#writer.close();
  }

  /** The last total and the last expected digest count; a change is worth a line for whoever debugs the client. */
  #note(request: WriteContentRequest): void {
    const { log } = this.#ctx;
    if (request.total > 0n) {
      if (this.#total > 0n && request.total !== this.#total) {
        log.debug({ ref: this.#ref, before: this.#total, now: request.total }, "client changed the total of a write");
      }
      this.#total = request.total;
    }
    if (request.expected !== "") {
      if (this.#expected !== "" && request.expected !== this.#expected) {
        log.debug({ ref: this.#ref, before: this.#expected, now: request.expected }, "client changed the digest");
      }
      this.#expected = request.expected;
    }
  }

  /** @throws ContainerdError `already-exists`, after removing the ingest, when the blob is there already */
  async #stopWhenPresent(expected: string): Promise<void> {
    if (!isDigest(expected)) return;
    try {
      await this.#store.info(this.#ctx, expected);
    } catch (error) {
      if (isKind(error, "not-found")) return;
      throw error;
    }
    await this.close();
    try {
      await this.#store.abort(this.#ctx, this.#ref);
    } catch (error) {
      this.#ctx.log.warn({ err: error, ref: this.#ref }, "cannot remove the ingest of a blob that exists");
    }
    throw alreadyExists(`write ref "${this.#ref}": blob "${expected}"`);
  }

  async #append(request: WriteContentRequest): Promise<void> {
    const { offset } = this.#writer.status();
    if (request.offset > 0n && request.offset !== offset) {
      throw outOfRange(`write ref "${this.#ref}" at ${request.offset}: its current offset is ${offset}`);
    }
    if (request.offset <= 0n && offset > 0n) await this.#writer.truncate(0n);
    if (request.data.length > 0) await this.#writer.write(request.data);
  }

  async #answer(action: WriteAction): Promise<WriteContentResponse> {
    const status = this.#writer.status();
    return {
      action,
      startedAt: status.startedAt,
      updatedAt: status.updatedAt,
      offset: status.offset,
      total: this.#total > 0n ? this.#total : status.total,
      digest: await this.#writer.digest(),
    };
  }

  async #commit(request: WriteContentRequest, digest: string): Promise<void> {
    const expected = this.#expected;
    if (expected !== "" && !isDigest(expected)) {
      const problem = `commit ref "${this.#ref}": expected digest "${expected}"`;
      if (!expected.includes(":")) throw invalidArgument(`${problem} is malformed`);
      throw failedPrecondition(`${problem}, the data has ${digest}`);
    }
    const options: CommitOptions = { labels: request.labels };
    if (this.#total > 0n) options.size = this.#total;
    if (expected !== "") options.expected = expected;
    this.#closed = true;
    await inStage(this.#ctx, "commit", () => this.#writer.commit(this.#ctx, options));
  }
}
