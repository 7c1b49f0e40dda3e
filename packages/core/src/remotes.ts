/**
 * Remotes: places that images are pulled from and pushed to. A registry is one; anything else that resolves names and
 * hands out blobs by digest can stand in its place.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { Descriptor } from "./records.ts";

/** Finds images by reference, and opens the way to their content. */
export interface Resolver {
  /**
   * Finds what a reference means.
   *
   * @returns the name to keep the image under, and the descriptor that it points at
   * @throws `not-found`; `permission-denied` or `unauthenticated` with the host that refused; `unavailable` naming every
   * host tried and why it did not answer
   */
  resolve(ctx: CallContext, reference: string): Promise<ResolvedImage>;
  fetcher(ctx: CallContext, reference: string): Promise<Fetcher>;
  pusher(ctx: CallContext, reference: string): Promise<Pusher>;
}

export interface ResolvedImage {
  name: string;
  target: Descriptor;
}

/** A descriptor as manifests have it: content may be elsewhere than in the repository. */
export interface RemoteDescriptor extends Descriptor {
  /** Where else the content is; asked first, without credentials. */
  readonly urls?: readonly string[];
}

/** Hands out the content of one repository. */
export interface Fetcher {
  /**
   * Opens the content of a descriptor at a byte offset.
   *
   * @param range bytes wanted; all when absent. A source that cannot start at `offset` starts at 0 and says so.
   * @throws `not-found`, and the errors of {@link Resolver.resolve}
   */
  fetch(ctx: CallContext, descriptor: RemoteDescriptor, range?: ByteRange): Promise<FetchedContent>;
  /** Descriptors of what refers to `digest`, by the referrers API; empty where the remote has none. */
  referrers?(ctx: CallContext, digest: string, artifactType?: string): Promise<Descriptor[]>;
}

/** `length` absent means to the end. */
export interface ByteRange {
  offset: bigint;
  length?: bigint;
}

/** Content on its way. Iterate it once; leaving the loop early ends the transfer. */
export interface FetchedContent extends AsyncIterable<Uint8Array> {
  /** First byte that comes; not the asked one when the source cannot seek. */
  readonly offset: bigint;
  /** Bytes of the whole content, when the source tells. */
  readonly size: bigint | undefined;
  /** Who serves it, and who was asked before. */
  readonly served: ServedBy;
}

/** Which host answered, and why those before it did not. */
export interface ServedBy {
  readonly host: string;
  readonly attempts: readonly { readonly host: string; readonly error: string }[];
}

/** Takes the content of one repository. */
export interface Pusher {
  /**
   * Opens an upload.
   *
   * @throws `already-exists` when the remote has it, or could mount it from another repository
   */
  push(ctx: CallContext, descriptor: Descriptor): Promise<PushWriter>;
}

/** An upload. `close` without `commit` gives it up. */
export interface PushWriter {
  readonly host: string;
  write(data: Uint8Array): Promise<void>;
  /** @throws `failed-precondition` when the remote reports another digest or size */
  commit(): Promise<void>;
  close(): Promise<void>;
}

/** What a transfer tells while it runs. */
export interface TransferProgress {
  /** `resolving`, `resolved`, `waiting`, `downloading`, `uploading`, `exists`, `mounted`, `complete`, `extracting`, `extracted`, `converting`, `saved`, `failed`. */
  readonly stage: TransferStage;
  /** Reference, or `<kind>-<digest>` of content (`layer-sha256:…`). */
  readonly name: string;
  readonly descriptor?: Descriptor;
  /** Names of the contents that this one belongs to. */
  readonly parents?: readonly string[];
  /** Bytes so far and in all; absent when they mean nothing at this stage. */
  readonly offset?: bigint;
  readonly total?: bigint;
  readonly served?: ServedBy;
  readonly error?: string;
}

export type TransferStage =
  | "resolving"
  | "resolved"
  | "waiting"
  | "downloading"
  | "uploading"
  | "exists"
  | "mounted"
  | "complete"
  | "extracting"
  | "extracted"
  | "converting"
  | "saved"
  | "failed";

/** Receives progress; must not throw and must not wait. */
export type ProgressListener = (progress: TransferProgress) => void;
