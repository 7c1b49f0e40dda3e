import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync, zstdDecompressSync } from "node:zlib";
import type { ContentInfo, ContentReader, ContentStore, ContentWriter } from "@ctrd/core/content";
import { createContext } from "@ctrd/core/context";
import { digestOf } from "@ctrd/core/digests";
import { alreadyExists, notFound, unavailable } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { Descriptor, Mount } from "@ctrd/core/records";
import { mountAll, unmountAll } from "@ctrd/sys";
import { differSuite } from "@ctrd/testkit/diff";
import type { LeakCheck, TarEntry } from "@ctrd/testkit/fixtures";
import { leakCheck, tarBuffer } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { WalkingDiffer, WalkingDifferOptions } from "./index.ts";
import { openWalkingDiffer } from "./index.ts";

/** A content store in memory; blobs have a file only when `files` is set. */
class MemoryStore {
  readonly blobs: Map<string, { data: Buffer; labels: Map<string, string> }> = new Map();
  readonly ingests: Map<string, Buffer[]> = new Map();
  readonly files: string | undefined;
  failWrites = false;
  failClose = false;

  constructor(files: string | undefined) {
    this.files = files;
  }

  add(data: Buffer): Descriptor {
    const digest = digestOf(data);
    this.blobs.set(digest, { data, labels: new Map() });
    if (this.files !== undefined) fs.writeFileSync(join(this.files, digest), data);
    return {
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest,
      size: BigInt(data.length),
      annotations: new Map(),
    };
  }

  #get(digest: string): { data: Buffer; labels: Map<string, string> } {
    const blob = this.blobs.get(digest);
    if (blob === undefined) throw notFound(`content ${digest}`);
    return blob;
  }

  async reader(_: unknown, digest: string): Promise<ContentReader> {
    const { data } = this.#get(digest);
    const read = async (offset: bigint, length: number): Promise<Uint8Array> =>
      data.subarray(Number(offset), Number(offset) + length);
    const reader = { size: BigInt(data.length), read, close: async () => {} };
    return this.files === undefined ? reader : { ...reader, path: join(this.files, digest) };
  }

  async info(_: unknown, digest: string): Promise<ContentInfo> {
    const { data, labels } = this.#get(digest);
    return { digest, size: BigInt(data.length), createdAt: undefined, updatedAt: undefined, labels: new Map(labels) };
  }

  async update(_: unknown, info: ContentInfo, mask: readonly string[]): Promise<ContentInfo> {
    for (const path of mask) {
      const key = path.slice("labels.".length);
      this.#get(info.digest).labels.set(key, info.labels.get(key) ?? "");
    }
    return info;
  }

  async abort(_: unknown, ref: string): Promise<void> {
    if (!this.ingests.delete(ref)) throw notFound(`ingest ${ref}`);
  }

  async writer(_: unknown, { ref }: { ref: string }): Promise<ContentWriter> {
    const parts = this.ingests.get(ref) ?? [];
    this.ingests.set(ref, parts);
    const whole = (): Buffer => Buffer.concat(parts);
    return {
      status: () => ({
        ref,
        offset: BigInt(whole().length),
        total: 0n,
        expected: "",
        startedAt: undefined,
        updatedAt: undefined,
      }),
      write: async (data) => {
        await new Promise((resolve) => setImmediate(resolve));
        if (this.failWrites) throw unavailable("write to the store");
        parts.push(Buffer.from(data));
      },
      truncate: async () => void parts.splice(0),
      digest: async () => digestOf(whole()),
      commit: async (_ctx, options) => {
        const digest = digestOf(whole());
        this.ingests.delete(ref);
        if (this.blobs.has(digest)) throw alreadyExists(`content ${digest}`);
        this.blobs.set(digest, { data: whole(), labels: new Map(options?.labels) });
      },
      close: async () => {
        if (this.failClose) throw unavailable("close the ingest");
      },
    };
  }

  asStore(): ContentStore {
    return this as unknown as ContentStore;
  }
}

let dir: string;
let store: MemoryStore;
let differ: WalkingDiffer;
let leaks: LeakCheck;
const ctx = createContext({ namespace: "test" });

async function open(options: Partial<WalkingDifferOptions> = {}): Promise<WalkingDiffer> {
  await differ?.close();
  differ = await openWalkingDiffer({ content: store.asStore(), temporary: join(dir, "tmp"), workers: 2, ...options });
  return differ;
}

beforeEach(async () => {
  dir = fs.mkdtempSync(join(tmpdir(), "ctrd-differ-"));
  leaks = await leakCheck({ root: dir });
  fs.mkdirSync(join(dir, "blobs"));
  store = new MemoryStore(join(dir, "blobs"));
  await open();
});
afterEach(async () => {
  await differ.close();
  await leaks.expectClean();
  expect(fs.readdirSync(join(dir, "tmp"))).toEqual([]);
  fs.rmSync(dir, { recursive: true });
});

function makeDir(name: string): string {
  const path = join(dir, name);
  fs.mkdirSync(path, { recursive: true });
  return path;
}

function put(root: string, path: string, data = ""): void {
  fs.mkdirSync(join(root, path, ".."), { recursive: true });
  fs.writeFileSync(join(root, path), data);
  fs.utimesSync(join(root, path), 1000, 1000);
}

const bind = (source: string, ...options: string[]): Mount => ({
  type: "bind",
  source,
  target: "",
  options: ["rbind", ...options],
});
const overlay = (...options: string[]): Mount => ({
  type: "overlay",
  source: "overlay",
  target: "",
  options: ["index=off", ...options],
});
const sha256 = (data: Buffer): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;
const layer: TarEntry[] = [
  { path: "dir/", type: "directory", mode: 0o711 },
  { path: "dir/file", data: "hello" },
  { path: "dir/.wh.gone" },
];

differSuite("walking", async (root, content) => {
  const walking = await openWalkingDiffer({ content, temporary: join(root, "tmp"), workers: 2 });
  return { differ: walking, ctx, close: () => walking.close() };
});

describe("apply", () => {
  const tar = tarBuffer(layer);

  it("goes straight into an overlay's upper directory", async () => {
    const [lower, upper, work] = [makeDir("lower"), makeDir("upper"), makeDir("work")];
    put(lower, "dir/gone");
    fs.chmodSync(join(lower, "dir"), 0o750);
    const mount = overlay(`workdir=${work}`, `upperdir=${upper}`, `lowerdir=${lower}`);
    await differ.apply(ctx, store.add(tarBuffer(layer.slice(1))), [mount], { syncFs: true });
    expect(fs.statSync(join(upper, "dir")).mode & 0o777).toBe(0o750);
    expect(fs.statSync(join(upper, "dir/gone")).isCharacterDevice()).toBe(true);
    mountAll([mount], makeDir("merged"));
    expect(fs.readdirSync(join(dir, "merged/dir"))).toEqual(["file"]);
    unmountAll(join(dir, "merged"));
  });

  it("reads content that has no file", async () => {
    store = new MemoryStore(undefined);
    await open();
    const root = makeDir("root");
    const big = tarBuffer([{ path: "big", data: Buffer.alloc(3_000_000, 7) }]);
    expect((await differ.apply(ctx, store.add(big), [bind(root)])).digest).toBe(sha256(big));
    expect(fs.statSync(join(root, "big")).size).toBe(3_000_000);
  });

  it.each([
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
  ])("reads %s, however it is compressed", async (mediaType) => {
    for (const data of [tar, gzipSync(tar)]) {
      const applied = await differ.apply(ctx, { ...store.add(data), mediaType }, [bind(makeDir("root"))]);
      expect(applied.digest).toBe(sha256(tar));
    }
  });

  it("refuses a read-only bind, content that is not there, and what exceeds the limits", async () => {
    const root = makeDir("root");
    const reject = (descriptor: Descriptor, mount: Mount, kind: string): Promise<void> =>
      expect(differ.apply(ctx, descriptor, [mount])).rejects.toThrow(expect.objectContaining({ kind }));
    await reject(store.add(tar), bind(root, "ro"), "failed-precondition");
    await reject({ ...store.add(tar), digest: digestOf("other") }, bind(root), "not-found");
    await open({ limits: { maxSize: 1000 } });
    await reject(store.add(tar), bind(root), "resource-exhausted");
  });

  it("keeps the event loop free and runs layers side by side", async () => {
    const data = Buffer.from(Array.from({ length: 1 << 20 }, (_, index) => (index * index) >> 9));
    const entries = Array.from({ length: 60 }, (_, index): TarEntry => ({ path: `f${index}`, data }));
    const descriptor = store.add(gzipSync(tarBuffer(entries), { level: 1 }));
    let last = performance.now();
    let longest = 0;
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    await Promise.all([1, 2, 3, 4].map((index) => differ.apply(ctx, descriptor, [bind(makeDir(`root${index}`))])));
    clearInterval(timer);
    // An apply takes some 200 ms; other programs use the machine too.
    expect(longest).toBeLessThan(120);
  });

  it("reports warnings and the result to the log", async () => {
    const lines: [string, string][] = [];
    const log: Logger = { ...silentLogger, debug: (_, message) => lines.push(["debug", message]) };
    await differ.apply(createContext({ log }), store.add(tar), [bind(makeDir("root"))]);
    expect(lines).toEqual([["debug", "layer applied"]]);
  });
});

describe("cancellation", () => {
  const slow = gzipSync(tarBuffer([{ path: "zeros", data: Buffer.alloc(600 << 20) }]), { level: 1 });

  it("takes a waiting call out of the queue", async () => {
    await open({ workers: 1 });
    const descriptor = store.add(slow);
    const root = makeDir("root");
    const running = differ.apply(ctx, descriptor, [bind(root)]);
    const controller = new AbortController();
    const waiting = differ.apply(createContext({ signal: controller.signal }), descriptor, [bind(makeDir("never"))]);
    const next = differ.apply(ctx, store.add(tarBuffer(layer)), [bind(makeDir("next"))]);
    setTimeout(() => controller.abort(), 20);
    await expect(waiting).rejects.toThrow(expect.objectContaining({ kind: "canceled" }));
    await running;
    await next;
    expect(fs.readdirSync(join(dir, "never"))).toEqual([]);
    expect(fs.readdirSync(join(dir, "next"))).toEqual(["dir"]);
  });

  it("an aborted call does not start, and a closed differ refuses", async () => {
    const descriptor = store.add(tarBuffer(layer));
    const aborted = differ.apply(createContext({ signal: AbortSignal.abort() }), descriptor, [bind(makeDir("root"))]);
    await expect(aborted).rejects.toThrow(expect.objectContaining({ kind: "canceled" }));
    await differ.close();
    await expect(differ.apply(ctx, descriptor, [bind(makeDir("root"))])).rejects.toThrow(/differ is closed/);
  });
});

describe("compare", () => {
  async function compare(
    ...args: Parameters<WalkingDiffer["compare"]> extends [unknown, ...infer R] ? R : never
  ): Promise<{
    descriptor: Descriptor;
    tar: Buffer;
    labels: Map<string, string>;
  }> {
    const descriptor = await differ.compare(ctx, ...args);
    const blob = store.blobs.get(descriptor.digest);
    const data = blob?.data ?? Buffer.of();
    expect(descriptor.size).toBe(BigInt(data.length));
    expect(store.ingests.size).toBe(0);
    const tar = descriptor.mediaType.endsWith("gzip")
      ? gunzipSync(data)
      : descriptor.mediaType.endsWith("zstd")
        ? zstdDecompressSync(data)
        : data;
    return { descriptor, tar, labels: blob?.labels ?? new Map() };
  }

  const names = (tar: Buffer): string[] => {
    const found: string[] = [];
    for (let at = 0; tar[at] !== 0;) {
      found.push(tar.toString("latin1", at, tar.indexOf(0, at)));
      at += 512 + Math.ceil(Number.parseInt(tar.toString("latin1", at + 124, at + 135), 8) / 512) * 512;
    }
    return found;
  };

  it("of overlays, with and without the upper directory as guide, also while it is mounted", async () => {
    const [one, two, upper, work] = [makeDir("one"), makeDir("two"), makeDir("upper"), makeDir("work")];
    put(one, "dir/gone");
    put(two, "dir/kept");
    put(one, "same");
    const active = overlay(`workdir=${work}`, `upperdir=${upper}`, `lowerdir=${two}:${one}`);
    const merged = makeDir("merged");
    mountAll([active], merged);
    fs.rmSync(join(merged, "dir/gone"));
    put(merged, "dir/new", "n");
    fs.closeSync(fs.openSync(join(merged, "same"), "r+"));
    const guided = await compare([overlay(`lowerdir=${two}:${one}`)], [active], {
      mediaType: "application/vnd.oci.image.layer.v1.tar",
    });
    expect(names(guided.tar)).toEqual(["dir/", "dir/.wh.gone", "dir/new"]);
    expect(guided.labels.size).toBe(0);
    const flat = makeDir("flat");
    mountAll([overlay(`lowerdir=${two}:${one}`)], flat);
    const whole = await compare([bind(flat, "ro")], [active], {
      mediaType: "application/vnd.oci.image.layer.v1.tar+zstd",
    });
    expect(sha256(whole.tar)).toBe(sha256(guided.tar));
    unmountAll(flat);
    unmountAll(merged);
  });

  it("of one lower directory below an overlay", async () => {
    const [lower, upper, work] = [makeDir("lower"), makeDir("upper"), makeDir("work")];
    put(lower, "file", "old");
    put(upper, "file", "new");
    const active = overlay(`workdir=${work}`, `upperdir=${upper}`, `lowerdir=${lower}`);
    expect(names((await compare([bind(lower, "ro")], [active])).tar)).toEqual(["file"]);
  });

  it("aborts its own ref on failure, not a given one", async () => {
    const upper = makeDir("upper");
    put(upper, "file", "x".repeat(5 << 20));
    store.failWrites = true;
    const options = { mediaType: "application/vnd.oci.image.layer.v1.tar" };
    await expect(differ.compare(ctx, [], [bind(upper)], options)).rejects.toThrow(/write to the store/);
    expect(store.ingests.size).toBe(0);
    store.failClose = true;
    await expect(differ.compare(ctx, [], [bind(upper)], options)).rejects.toThrow(/write to the store/);
    expect(store.ingests.size).toBe(0);
    store.failClose = false;
    await expect(differ.compare(ctx, [], [bind(upper)], { ...options, reference: "mine" })).rejects.toThrow();
    expect([...store.ingests.keys()]).toEqual(["mine"]);
    store.failWrites = false;
    const aborted = createContext({ signal: AbortSignal.timeout(1) });
    await expect(differ.compare(aborted, [], [bind(upper)], options)).rejects.toThrow(
      expect.objectContaining({ kind: "deadline-exceeded" }),
    );
    expect([...store.ingests.keys()]).toEqual(["mine"]);
  });
});

describe("start", () => {
  it("removes what a killed daemon left mounted", async () => {
    const left = makeDir("tmp/mount-left");
    mountAll([{ type: "tmpfs", source: "tmpfs", target: "", options: [] }], left);
    fs.mkdirSync(join(dir, "tmp", "blob-left"));
    await open();
    expect(fs.readdirSync(join(dir, "tmp"))).toEqual([]);
  });
});
