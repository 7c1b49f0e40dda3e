/**
 * Fetching content from a remote into the content store.
 *
 * @module
 */
import type { ContentStore, ContentWriter, WriterOptions } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { withoutCancellation } from "@ctrd/core/context";
import { isKind, messageOf } from "@ctrd/core/errors";
import { inStage } from "@ctrd/core/operations";
import type { Fetcher, ProgressListener, ServedBy } from "@ctrd/core/remotes";
import { traced } from "@ctrd/core/tracing";
import { setTimeout as sleep } from "node:timers/promises";
import type { ImageDescriptor } from "./descriptors.ts";
import { kindOfContent } from "./media-types.ts";
import { SteppedWriter } from "./stepped-writer.ts";

/** What fetching needs. */
export interface FetchOptions {
  content: ContentStore;
  fetcher: Fetcher;
  progress?: ProgressListener;
  /** Names of the contents that this one belongs to. */
  parents?: readonly string[];
}

/** Bytes between two reports. */
const progressStep = 1n << 20n;
/** How long to wait before looking again whether another's ingest has ended. */
const lockPauseMs = 100;

/** The name of an ingest of `descriptor`, which is its name in progress reports as well. */
export function contentName({ mediaType, digest }: ImageDescriptor): string {
  return `${kindOfContent(mediaType)}-${digest}`;
}

/**
 * Fetches one blob unless the store has it. An ingest that was begun is gone on with; one that another is writing is
 * waited for. The store checks size and digest when the blob is committed.
 *
 * @throws ContainerdError of the fetcher; `failed-precondition` when the bytes have another digest: the ingest is
 * removed, so that the next attempt does not go on from wrong bytes
 */
export async function fetchContent(
  ctx: CallContext,
  descriptor: ImageDescriptor,
  options: FetchOptions,
): Promise<void> {
  if (ctx.span === undefined && ctx.operation === undefined) return fetchMissing(ctx, descriptor, options);
  const { mediaType, digest, size } = descriptor;
  const attributes = { "content.digest": digest, "content.type": mediaType, "content.size": size };
  return traced(ctx, "pull.fetch", attributes, (inner) => fetchMissing(inner, descriptor, options));
}

async function fetchMissing(ctx: CallContext, descriptor: ImageDescriptor, options: FetchOptions): Promise<void> {
  const { content, progress } = options;
  const name = contentName(descriptor);
  const report = { name, descriptor, ...(options.parents === undefined ? {} : { parents: options.parents }) };
  const { digest: expected, size: total } = descriptor;
  const ingest = { ref: name, total, expected };
  const writer = await openIngest(ctx, content, ingest, () => progress?.({ ...report, stage: "waiting" }));
  if (writer === undefined) {
    progress?.({ ...report, stage: "exists", offset: descriptor.size, total: descriptor.size });
    return;
  }
  let closed = false;
  try {
    const downloading = (): Promise<ServedBy | undefined> =>
      fill(ctx, descriptor, writer, options, (offset, served) =>
        progress?.({ ...report, stage: "downloading", offset, total: descriptor.size, ...(served && { served }) }),
      );
    const object = { kind: "ingest", id: name };
    const served = await inStage(ctx, "download", downloading, { object });
    closed = true;
    await inStage(ctx, "commit", () => commit(ctx, content, descriptor, writer, name), { object });
    progress?.({
      ...report,
      stage: "complete",
      offset: descriptor.size,
      total: descriptor.size,
      ...(served && { served }),
    });
  } catch (error) {
    progress?.({ ...report, stage: "failed", error: messageOf(error) });
    throw error;
  } finally {
    if (!closed) await writer.close();
  }
}

/**
 * Opens an ingest; one that another is writing is waited for.
 *
 * @param onWait called once when it has to be waited for
 * @returns undefined when the store has the expected blob
 */
export async function openIngest(
  ctx: CallContext,
  content: ContentStore,
  options: WriterOptions,
  onWait?: () => void,
): Promise<ContentWriter | undefined> {
  let leave: (() => void) | undefined;
  try {
    for (let waited = false; ; waited = true) {
      try {
        return await content.writer(ctx, options);
      } catch (error) {
        if (isKind(error, "already-exists")) return undefined;
        if (!isKind(error, "unavailable") || !(await isBusy(ctx, content, options.ref))) throw error;
        if (!waited) onWait?.();
      }
      leave ??= ctx.operation?.enter("wait for whoever writes", { object: { kind: "ingest", id: options.ref } });
      await sleep(lockPauseMs, undefined, { signal: ctx.signal });
    }
  } finally {
    leave?.();
  }
}

/** Whether the store is there at all: then the ingest is another's, or was until now. */
async function isBusy(ctx: CallContext, content: ContentStore, ref: string): Promise<boolean> {
  try {
    await content.status(ctx, ref);
    return true;
  } catch (error) {
    return isKind(error, "not-found");
  }
}

async function fill(
  ctx: CallContext,
  descriptor: ImageDescriptor,
  writer: ContentWriter,
  { fetcher }: FetchOptions,
  report: (offset: bigint, served: ServedBy | undefined) => void,
): Promise<ServedBy | undefined> {
  let { offset } = writer.status();
  if (offset > descriptor.size) {
    await writer.truncate(0n);
    offset = 0n;
  }
  report(offset, undefined);
  if (descriptor.data !== undefined) {
    await writer.truncate(0n);
    await writer.write(descriptor.data);
    return undefined;
  }
  if (offset === descriptor.size) return undefined;
  const source = await fetcher.fetch(ctx, descriptor, { offset });
  // A source that cannot start there starts at the beginning.
  let skip = offset - source.offset;
  let reported = offset;
  const steps = new SteppedWriter(writer, descriptor.size - offset);
  try {
    for await (const chunk of source) {
      const fresh = skip > 0n ? chunk.subarray(Number(skip < chunk.length ? skip : BigInt(chunk.length))) : chunk;
      skip -= BigInt(chunk.length - fresh.length);
      if (fresh.length === 0) continue;
      await steps.write(fresh);
      offset += BigInt(fresh.length);
      if (offset - reported < progressStep) continue;
      reported = offset;
      report(offset, source.served);
    }
    await steps.flush();
  } finally {
    await steps.settled();
  }
  return source.served;
}

async function commit(
  ctx: CallContext,
  content: ContentStore,
  descriptor: ImageDescriptor,
  writer: ContentWriter,
  ref: string,
): Promise<void> {
  try {
    await writer.commit(ctx, { size: descriptor.size, expected: descriptor.digest });
  } catch (error) {
    if (isKind(error, "already-exists")) return;
    if (isKind(error, "failed-precondition")) await abortIngest(ctx, content, ref);
    throw error;
  }
}

/** Removes an ingest, also when the call was canceled. */
export async function abortIngest(ctx: CallContext, content: ContentStore, ref: string): Promise<void> {
  try {
    await content.abort(withoutCancellation(ctx), ref);
  } catch (error) {
    if (isKind(error, "not-found")) return;
    ctx.log.warn({ ref, err: messageOf(error) }, "cannot remove an ingest of wrong bytes");
  }
}
