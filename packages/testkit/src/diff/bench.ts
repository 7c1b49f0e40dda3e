/**
 * What one test of a differ works with.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import type { CompareOptions, Differ } from "@ctrd/core/diff";
import { digestOf } from "@ctrd/core/digests";
import { isKind } from "@ctrd/core/errors";
import type { Descriptor, Labels, Mount } from "@ctrd/core/records";
import { mountAll, readMountInfo, unmountAll } from "@ctrd/sys";
import { createMemoryContentStore } from "../content/memory-store.ts";
import type { Compression } from "../fixtures/images.ts";
import type { TarEntry } from "../fixtures/tar-writer.ts";
import { tarBuffer } from "../fixtures/tar-writer.ts";
import type { LayerEntry } from "./layer-entries.ts";
import { layerEntries } from "./layer-entries.ts";

/** A differ under test. */
export interface OpenedDiffer {
  differ: Differ;
  /** The store whose layers it applies and to which it writes, when it is not the one that `open` was given. */
  content?: ContentStore;
  /** Given to every call, of the differ and of the content store. */
  ctx: CallContext;
  close(): Promise<void>;
}

/**
 * Opens the differ under test with its files in `root`, an empty directory, over the given content store. It is closed
 * after the last test.
 */
export type OpenDiffer = (root: string, content: ContentStore) => Promise<OpenedDiffer>;

/** Media types of layers, by compression. */
export const mediaTypes: Readonly<Record<Compression, string>> = {
  none: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd",
};

/** A layer that was compared into the store. */
export interface WrittenLayer {
  descriptor: Descriptor;
  blob: Buffer;
  tar: Buffer;
  entries: LayerEntry[];
  labels: Labels;
}

/** The differ that the tests of a suite share. */
export interface DifferHost {
  /** Everything is below it. */
  readonly directory: string;
  readonly opened: OpenedDiffer;
  readonly content: ContentStore;
  /** Closes the differ and removes the directory. */
  close(): Promise<void>;
}

/** Opens the differ of a suite. */
export async function openHost(open: OpenDiffer): Promise<DifferHost> {
  const directory = mkdtempSync(join(tmpdir(), "differ-suite-"));
  const root = join(directory, "root");
  mkdirSync(root);
  const memory = createMemoryContentStore();
  const opened = await open(root, memory);
  return {
    directory,
    opened,
    content: opened.content ?? memory,
    async close() {
      await opened.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A differ, directories of one test, and mounts that are undone at its end. */
export class DiffBench {
  readonly differ: Differ;
  readonly content: ContentStore;
  readonly ctx: CallContext;
  readonly #host: DifferHost;
  readonly #directory: string;
  readonly #mounted: string[] = [];
  #counter = 0;

  constructor(host: DifferHost) {
    this.differ = host.opened.differ;
    this.content = host.content;
    this.ctx = host.opened.ctx;
    this.#host = host;
    this.#directory = mkdtempSync(join(host.directory, "test-"));
  }

  /** A new empty directory of mode 0755. */
  directory(name = "dir"): string {
    const path = join(this.#directory, `${name}-${this.#counter++}`);
    mkdirSync(path, 0o755);
    return path;
  }

  /** Performs `mounts` on a new directory; undone at the end of the test. */
  mount(mounts: readonly Mount[]): string {
    const target = this.directory("mnt");
    mountAll(mounts, target);
    this.#mounted.push(target);
    return target;
  }

  /** Stores a blob and describes it. */
  async blob(data: Uint8Array, mediaType: string): Promise<Descriptor> {
    const digest = digestOf(data);
    const descriptor = { mediaType, digest, size: BigInt(data.length), annotations: new Map<string, string>() };
    try {
      const writer = await this.content.writer(this.ctx, { ref: `bench-${digest}` });
      if (data.length > 0) await writer.write(data);
      await writer.commit(this.ctx, { expected: digest });
    } catch (error) {
      if (!isKind(error, "already-exists")) throw error;
    }
    return descriptor;
  }

  /** Stores a layer. */
  layer(entries: readonly TarEntry[], compression: Compression = "none"): Promise<Descriptor> {
    return this.blob(compress(tarBuffer(entries), compression), mediaTypes[compression]);
  }

  /** Applies a layer of `entries` to the directory `root`, a new one by default; returns it. */
  async applied(entries: readonly TarEntry[], root: string = this.directory("applied")): Promise<string> {
    await this.differ.apply(this.ctx, await this.layer(entries), [bind(root)]);
    return root;
  }

  /** Compares, and reads what came of it from the store. */
  async compared(
    lower: readonly Mount[],
    upper: readonly Mount[],
    options: CompareOptions = { mediaType: mediaTypes.none },
  ): Promise<WrittenLayer> {
    const descriptor = await this.differ.compare(this.ctx, lower, upper, options);
    const { labels } = await this.content.info(this.ctx, descriptor.digest);
    const blob = await this.read(descriptor.digest);
    const tar = decompress(blob);
    return { descriptor, blob, tar, entries: layerEntries(tar), labels };
  }

  /** A whole blob. */
  async read(digest: string): Promise<Buffer> {
    const reader = await this.content.reader(this.ctx, digest);
    try {
      const parts: Uint8Array[] = [];
      for (let offset = 0n; offset < reader.size; offset += 1n << 20n) parts.push(await reader.read(offset, 1 << 20));
      return Buffer.concat(parts);
    } finally {
      await reader.close();
    }
  }

  /** Mount points in the directories of the suite that the test did not make, once there are none or time is over. */
  async leftMounts(graceMs = 5_000): Promise<string[]> {
    const own = new Set(this.#mounted);
    const prefix = `${this.#host.directory}/`;
    const look = (): string[] =>
      readMountInfo()
        .map((info) => info.mountPoint)
        .filter((path) => path.startsWith(prefix) && !own.has(path));
    const deadline = Date.now() + graceMs;
    // A differ in another process may still be busy with a call that was cancelled here.
    while (look().length > 0 && Date.now() < deadline) await sleep(20);
    return look();
  }

  /**
   * Unmounts and deletes.
   *
   * @returns mount points that the differ left behind; they are unmounted too
   */
  async end(): Promise<string[]> {
    const left = await this.leftMounts();
    for (const target of [...this.#mounted, ...left].toReversed()) unmountAll(target);
    rmSync(this.#directory, { recursive: true, force: true });
    return left;
  }
}

/** A bind mount of a directory. */
export function bind(source: string, ...options: string[]): Mount {
  return { type: "bind", source, target: "", options: ["rbind", ...(options.length === 0 ? ["rw"] : options)] };
}

/** An overlay; without `upper` it is read-only. Lower directories come nearest first. */
export function overlay(lowers: readonly string[], upper?: { directory: string; work: string }): Mount {
  const writable = upper === undefined ? [] : [`workdir=${upper.work}`, `upperdir=${upper.directory}`];
  const options = ["index=off", ...writable, `lowerdir=${lowers.join(":")}`];
  return { type: "overlay", source: "overlay", target: "", options };
}

/** `data` compressed. */
export function compress(data: Uint8Array, compression: Compression): Buffer {
  if (compression === "gzip") return gzipSync(data, { level: 1 });
  return compression === "zstd" ? zstdCompressSync(data) : Buffer.from(data);
}

/** What compression the bytes have. */
export function compressionOf(data: Uint8Array): Compression {
  if (data[0] === 0x1f && data[1] === 0x8b) return "gzip";
  return Buffer.from(data.subarray(0, 4)).equals(Buffer.from("28b52ffd", "hex")) ? "zstd" : "none";
}

function decompress(data: Buffer): Buffer {
  const compression = compressionOf(data);
  if (compression === "gzip") return gunzipSync(data);
  return compression === "zstd" ? zstdDecompressSync(data) : data;
}
