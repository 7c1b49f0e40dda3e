// The Write and Read protocols, message by message, against a store in memory.
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WriteContentRequest, WriteContentResponse } from "@ctrd/api/services/content/v1/content";
import {
  ContentDefinition,
  WriteAction,
  WriteContentRequest as WriteMessage,
} from "@ctrd/api/services/content/v1/content";
import type { ContentInfo, ContentStore } from "@ctrd/core/content";
import { createContext } from "@ctrd/core/context";
import { digestOf, emptyDigest } from "@ctrd/core/digests";
import { alreadyExists, failedPrecondition, notFound, unavailable } from "@ctrd/core/errors";
import { now } from "@ctrd/core/records";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DuplexCall, RpcChannel } from "../rpc/index.ts";
import { openChannel } from "../rpc/index.ts";
import type { ServedSocket } from "../serve-on-socket.ts";
import { serveOnSocket } from "../serve-on-socket.ts";
import { proxyContentStore } from "./proxy.ts";
import { serveContent } from "./serve.ts";

class MemoryStore implements ContentStore {
  readonly blobs = new Map<string, { info: ContentInfo; data: Buffer }>();
  readonly ingests = new Map<string, Buffer>();
  readonly locks = new Set<string>();

  put(data: Buffer): string {
    const digest = digestOf(data);
    const info = { digest, size: BigInt(data.length), createdAt: now(), updatedAt: now(), labels: new Map() };
    this.blobs.set(digest, { info, data });
    return digest;
  }

  async info(_ctx: unknown, digest: string) {
    return this.#blob(digest).info;
  }

  async update(_ctx: unknown, info: ContentInfo) {
    return info;
  }

  async *list() {
    for (const { info } of this.blobs.values()) yield info;
  }

  async delete(_ctx: unknown, digest: string) {
    this.blobs.delete(digest);
  }

  async status(): Promise<never> {
    throw notFound("ingest");
  }

  async listStatuses() {
    return [];
  }

  async abort(_ctx: unknown, ref: string) {
    if (!this.ingests.delete(ref)) throw notFound(`ingest "${ref}"`);
  }

  async reader(_ctx: unknown, digest: string) {
    const { data } = this.#blob(digest);
    return {
      size: BigInt(data.length),
      read: async (offset: bigint, length: number) => data.subarray(Number(offset), Number(offset) + length),
      close: async () => {},
    };
  }

  async writer(_ctx: unknown, { ref, total = 0n, expected = "" }: { ref: string; total?: bigint; expected?: string }) {
    if (this.blobs.has(expected)) throw alreadyExists(`content ${expected}`);
    if (this.locks.has(ref)) throw unavailable(`ref ${ref} locked for 1s (since now)`);
    this.locks.add(ref);
    const { blobs, ingests, locks } = this;
    if (!ingests.has(ref)) ingests.set(ref, Buffer.alloc(0));
    const data = () => ingests.get(ref) ?? Buffer.alloc(0);
    const times = { startedAt: now(), updatedAt: now() };
    return {
      status: () => ({ ref, offset: BigInt(data().length), total, expected, ...times }),
      write: async (chunk: Uint8Array) => void ingests.set(ref, Buffer.concat([data(), chunk])),
      truncate: async (size: bigint) => void ingests.set(ref, data().subarray(0, Number(size))),
      digest: async () => digestOf(data()),
      close: async () => void locks.delete(ref),
      commit: async (
        _commitCtx: unknown,
        options: { size?: bigint; expected?: string; labels?: Map<string, string> } = {},
      ) => {
        locks.delete(ref);
        const digest = digestOf(data());
        if (options.size !== undefined && options.size !== BigInt(data().length)) throw failedPrecondition("size");
        const algorithm = (options.expected ?? digest).split(":")[0] ?? "";
        const actual = `${algorithm}:${createHash(algorithm).update(data()).digest("hex")}`;
        if (options.expected !== undefined && options.expected !== actual) throw failedPrecondition("digest");
        if (blobs.has(actual)) throw alreadyExists(actual);
        const info = {
          digest: actual,
          size: BigInt(data().length),
          createdAt: now(),
          updatedAt: now(),
          labels: options.labels ?? new Map(),
        };
        blobs.set(actual, { info, data: data() });
        ingests.delete(ref);
      },
    };
  }

  #blob(digest: string) {
    const blob = this.blobs.get(digest);
    if (blob === undefined) throw notFound(`content "${digest}"`);
    return blob;
  }
}

const ctx = createContext({ namespace: "default" });
const { STAT, WRITE, COMMIT } = WriteAction;
const hello = Buffer.from("hello");

let directory: string;
let store: MemoryStore;
let server: ServedSocket;
let channel: RpcChannel;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-content-"));
  store = new MemoryStore();
  server = await serveOnSocket(join(directory, "s.sock"), [serveContent(store)]);
  channel = openChannel(server.path);
});
afterEach(async () => {
  channel.close();
  await server.stop();
  await rm(directory, { recursive: true });
});

type Call = DuplexCall<WriteContentRequest, WriteContentResponse>;
const open = (): Call => channel.client(ContentDefinition).write(ctx);

/** Sends one message and returns its answer. */
async function step(call: Call, message: Partial<WriteContentRequest>): Promise<WriteContentResponse | undefined> {
  await call.send(WriteMessage.create(message as object));
  return call.receive();
}

describe("Write", () => {
  it("answers each message, and the last answer again at the end", async () => {
    const call = open();
    expect(await step(call, { action: STAT, ref: "r", total: 10n })).toMatchObject({
      action: STAT,
      offset: 0n,
      total: 10n,
      digest: emptyDigest,
    });
    expect(await step(call, { action: WRITE, data: hello })).toMatchObject({
      action: WRITE,
      offset: 5n,
      digest: digestOf(hello),
    });
    expect(await step(call, { action: STAT })).toMatchObject({ offset: 5n, total: 10n, startedAt: expect.anything() });
    const commit = { action: COMMIT, offset: 5n, data: hello, labels: new Map([["a", "b"]]) };
    const committed = await step(call, commit);
    expect(committed).toMatchObject({ action: COMMIT, offset: 10n, digest: digestOf("hellohello") });
    expect(await call.receive()).toEqual(committed);
    expect(await call.receive()).toBeUndefined();
    expect(store.blobs.get(digestOf("hellohello"))?.info.labels).toEqual(new Map([["a", "b"]]));
    expect(store.locks.size).toBe(0);
  });

  it("repeats the last answer when the client ends, and frees the ref with its bytes kept", async () => {
    const call = open();
    const last = await step(call, { action: WRITE, ref: "r", data: hello });
    expect(store.locks.has("r")).toBe(true);
    call.end();
    expect(await call.receive()).toEqual(last);
    expect(await call.receive()).toBeUndefined();
    expect(store.locks.has("r")).toBe(false);
    expect(store.ingests.get("r")).toEqual(hello);
  });

  it("frees the ref when the client goes away", async () => {
    const call = open();
    await step(call, { action: STAT, ref: "r" });
    call.cancel();
    await expect.poll(() => store.locks.has("r")).toBe(false);
  });

  it.each([
    ["no ref", [{ action: STAT }], "invalid-argument"],
    [
      "a gap",
      [
        { action: WRITE, ref: "r", data: hello },
        { action: WRITE, offset: 6n, data: hello },
      ],
      "out-of-range",
    ],
    ["a wrong total", [{ action: COMMIT, ref: "r", data: hello, total: 6n }], "failed-precondition"],
    ["another digest", [{ action: COMMIT, ref: "r", data: hello, expected: emptyDigest }], "failed-precondition"],
    ["wrong hex", [{ action: COMMIT, ref: "r", data: hello, expected: "sha256:12" }], "failed-precondition"],
    ["an unknown algorithm", [{ action: COMMIT, ref: "r", data: hello, expected: "md5:12" }], "failed-precondition"],
    ["no algorithm", [{ action: COMMIT, ref: "r", data: hello, expected: "12" }], "invalid-argument"],
    ["an unknown action", [{ action: 7 as 0, ref: "r" }], "invalid-argument"],
  ] as [string, Partial<WriteContentRequest>[], string][])("fails on %s", async (_name, messages, kind) => {
    const call = open();
    const outcome = (async () => {
      for (const message of messages) await step(call, message);
    })();
    await expect(outcome).rejects.toMatchObject({ kind });
    expect(store.blobs.size).toBe(0);
  });

  it("keeps the ingest after a failed commit", async () => {
    await expect(step(open(), { action: COMMIT, ref: "r", data: hello, expected: "sha256:12" })).rejects.toThrow(
      digestOf(hello),
    );
    expect(store.ingests.get("r")).toEqual(hello);
    expect(store.locks.size).toBe(0);
  });

  it("starts over at offset 0", async () => {
    const call = open();
    await step(call, { action: WRITE, ref: "r", data: hello });
    expect(await step(call, { action: WRITE, data: Buffer.from("x") })).toMatchObject({
      offset: 1n,
      digest: digestOf("x"),
    });
    expect(await step(call, { action: COMMIT })).toMatchObject({ offset: 0n, digest: emptyDigest });
  });

  it("commits nothing as the empty blob", async () => {
    expect(await step(open(), { action: COMMIT, ref: "r", expected: emptyDigest })).toMatchObject({ offset: 0n });
    expect(store.blobs.has(emptyDigest)).toBe(true);
  });

  it("hashes by the algorithm that is expected", async () => {
    const expected = `sha512:${createHash("sha512").update(hello).digest("hex")}`;
    await step(open(), { action: COMMIT, ref: "r", data: hello, expected });
    expect(store.blobs.has(expected)).toBe(true);
  });

  it("refuses what exists, at the start and in the middle, and removes the ingest", async () => {
    const digest = store.put(hello);
    await expect(step(open(), { action: STAT, ref: "a", expected: digest })).rejects.toMatchObject({
      kind: "already-exists",
    });
    const call = open();
    await step(call, { action: WRITE, ref: "b", data: hello });
    await expect(step(call, { action: WRITE, expected: digest })).rejects.toMatchObject({ kind: "already-exists" });
    expect(store.ingests.has("b")).toBe(false);
    expect(store.locks.size).toBe(0);
  });

  it("answers unavailable for a locked ref", async () => {
    await step(open(), { action: STAT, ref: "r" });
    await expect(step(open(), { action: STAT, ref: "r" })).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("locked"),
    });
  });
});

describe("Read", () => {
  const data = Buffer.alloc(2_500_000, "0123456789abcdef");

  async function read(offset: bigint, size: bigint): Promise<{ offset: bigint; data: Uint8Array }[]> {
    const digest = digestOf(data);
    return Array.fromAsync(channel.client(ContentDefinition).read(ctx, { digest, offset, size }));
  }

  beforeEach(() => void store.put(data));

  it.each([
    [0n, 0n, 0, 2_500_000],
    [-5n, -5n, 0, 2_500_000],
    [10n, 20n, 10, 30],
    [2_499_990n, 100n, 2_499_990, 2_500_000],
    [2_500_000n, 0n, 0, 0],
  ])("from %d, %d bytes", async (offset, size, from, to) => {
    const chunks = await read(offset, size);
    let at = 0n;
    for (const chunk of chunks) {
      expect(chunk.offset).toBe(at);
      expect(chunk.data.length).toBeLessThanOrEqual(1 << 20);
      at += BigInt(chunk.data.length);
    }
    expect(Buffer.concat(chunks.map((chunk) => chunk.data)).equals(data.subarray(from, to))).toBe(true);
  });

  it("refuses an offset behind the end, and a missing blob", async () => {
    await expect(read(2_500_001n, 0n)).rejects.toMatchObject({ kind: "out-of-range" });
    store.blobs.clear();
    await expect(read(0n, 0n)).rejects.toMatchObject({ kind: "not-found" });
  });

  it("lists in batches of 100", async () => {
    for (let i = 0; i < 249; i++) store.put(Buffer.from(`${i}`));
    const messages = await Array.fromAsync(channel.client(ContentDefinition).list(ctx, { filters: [] }));
    expect(messages.map((message) => message.info.length)).toEqual([100, 100, 50]);
  });
});

describe("the proxy's reader and writer", () => {
  it("read anywhere, in order and not", async () => {
    const data = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => i % 251));
    const reader = await proxyContentStore(channel).reader(ctx, store.put(data));
    for (const [offset, length] of [
      [0, 10],
      [10, 1_500_000],
      [5, 5],
      [2_999_995, 100],
      [3_000_000, 1],
      [0, 3_000_000],
    ] as const) {
      const got = await reader.read(BigInt(offset), length);
      expect(Buffer.from(got).equals(data.subarray(offset, offset + length))).toBe(true);
    }
    const both = await Promise.all([reader.read(0n, 100), reader.read(100n, 100)]);
    expect(Buffer.concat(both).equals(data.subarray(0, 200))).toBe(true);
    await reader.close();
    await expect(reader.read(0n, 1)).rejects.toMatchObject({ kind: "failed-precondition" });
  });

  it("write any amount at once, resume and start over", async () => {
    const remote = proxyContentStore(channel);
    const data = Buffer.alloc(5_000_001, "content");
    const writer = await remote.writer(ctx, { ref: "r" });
    await writer.write(data.subarray(0, 4_000_000));
    await writer.close();
    const resumed = await remote.writer(ctx, { ref: "r", total: 5_000_001n });
    expect(resumed.status()).toMatchObject({ ref: "r", offset: 4_000_000n, total: 5_000_001n });
    await resumed.truncate(0n);
    expect(await resumed.digest()).toBe(emptyDigest);
    await expect(resumed.truncate(1n)).rejects.toMatchObject({ kind: "invalid-argument" });
    await resumed.write(data);
    await resumed.commit(ctx, { size: 5_000_001n, expected: digestOf(data), labels: new Map([["k", "v"]]) });
    expect(store.blobs.get(digestOf(data))?.info.labels.get("k")).toBe("v");
    await expect(resumed.write(data)).rejects.toMatchObject({ kind: "failed-precondition" });
  });

  it("move much in both directions at the same time, beside a reader that was left standing", async () => {
    const remote = proxyContentStore(channel);
    const data = Buffer.alloc(16 << 20, "both ways");
    const digest = store.put(data);
    const [idle, reader] = [await remote.reader(ctx, digest), await remote.reader(ctx, digest)];
    await idle.read(0n, 10);
    const writer = await remote.writer(ctx, { ref: "r" });
    const piece = 1 << 20;
    const read = async (): Promise<void> => {
      for (let at = 0; at < data.length; at += piece) {
        expect((await reader.read(BigInt(at), piece)).length).toBe(piece);
      }
    };
    const write = async (): Promise<void> => {
      for (let at = 0; at < data.length; at += piece) await writer.write(data.subarray(at, at + piece));
    };
    await Promise.all([read(), write()]);
    expect(await writer.digest()).toBe(digest);
    for (const end of [idle, reader, writer]) await end.close();
  });

  it("tell of a server that goes away", async () => {
    const writer = await proxyContentStore(channel).writer(ctx, { ref: "r" });
    await server.stop();
    await expect(writer.write(hello)).rejects.toMatchObject({ kind: expect.stringMatching(/unavailable|canceled/) });
    await writer.close();
  });
});
