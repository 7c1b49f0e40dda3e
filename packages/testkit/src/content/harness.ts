/**
 * What the parts of the content suite share.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { CommitOptions, ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { collect } from "../expectations.ts";
import { randomBytesOf } from "../fixtures/generated-files.ts";
import { tempDir } from "../fixtures/temp-dir.ts";

/** A store under test. */
export interface OpenedStore {
  store: ContentStore;
  /** Given to every call. A store with namespaces needs one here. */
  ctx: CallContext;
  close(): Promise<void>;
}

/** Opens an empty store; `root` is an existing empty directory. */
export type OpenStore = (root: string) => Promise<OpenedStore>;

/** What a store can do. */
export interface ContentSuiteOptions {
  /** It keeps labels of commit and update. */
  labels: boolean;
  /** It has namespaces, with this policy: a blob of another namespace needs no upload, or does. */
  sharing?: "shared" | "isolated";
  /** A writer can be cut to any size, not only to nothing; true when absent. Over gRPC it cannot. */
  partialTruncate?: boolean;
}

/** Runs tests on fresh stores. */
export interface Harness {
  readonly options: ContentSuiteOptions;
  /** A test body that gets a store and closes it afterwards. */
  withStore(body: (opened: OpenedStore) => Promise<void>): () => Promise<void>;
}

/** Makes the harness of one suite. */
export function createHarness(open: OpenStore, options: ContentSuiteOptions): Harness {
  return {
    options,
    withStore: (body) => async () => {
      await using dir = await tempDir("cst-");
      const opened = await open(dir.path);
      try {
        await body(opened);
      } finally {
        await opened.close();
      }
    },
  };
}

/** Bytes that look random and depend only on `seed`. */
export function sample(seed: string, length: number): Buffer {
  return randomBytesOf(`content/${seed}`, length);
}

/** `<algorithm>:<hex>` of `data`. */
export function digestBy(algorithm: string, data: Uint8Array): string {
  return `${algorithm}:${createHash(algorithm).update(data).digest("hex")}`;
}

/** sha256 digest of `data`. */
export function digestOf(data: Uint8Array): string {
  return digestBy("sha256", data);
}

/** Writes a blob in one piece, under a ref of its own, and returns its digest. */
export async function writeBlob(
  { store, ctx }: Pick<OpenedStore, "store" | "ctx">,
  data: Uint8Array,
  options: CommitOptions = {},
): Promise<string> {
  const expected = digestOf(data);
  const writer = await store.writer(ctx, { ref: `write-${expected}`, total: BigInt(data.length) });
  if (data.length > 0) await writer.write(data);
  await writer.commit(ctx, { expected, size: BigInt(data.length), ...options });
  return expected;
}

/** Reads a whole blob. */
export async function readBlob({ store, ctx }: Pick<OpenedStore, "store" | "ctx">, digest: string): Promise<Buffer> {
  const reader = await store.reader(ctx, digest);
  try {
    const parts: Uint8Array[] = [];
    for (let offset = 0n; offset < reader.size; offset += 1n << 20n) parts.push(await reader.read(offset, 1 << 20));
    return Buffer.concat(parts);
  } finally {
    await reader.close();
  }
}

/** Digests that `list` gives, sorted. */
export async function listDigests(
  { store, ctx }: Pick<OpenedStore, "store" | "ctx">,
  ...filters: string[]
): Promise<string[]> {
  return (await collect(store.list(ctx, filters))).map((info) => info.digest).sort();
}

/** Refs that `listStatuses` gives, sorted. */
export async function listRefs(
  { store, ctx }: Pick<OpenedStore, "store" | "ctx">,
  ...filters: string[]
): Promise<string[]> {
  return (await store.listStatuses(ctx, filters)).map((status) => status.ref).sort();
}
