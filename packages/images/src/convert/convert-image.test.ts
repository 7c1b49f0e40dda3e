// Conversions in the content store of a real daemon. What real tools make of the results is in e2e/20-convert.
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { createContext, withSignal } from "@ctrd/core/context";
import type { Image } from "@ctrd/core/images";
import type { Descriptor } from "@ctrd/core/records";
import type { TransferProgress } from "@ctrd/core/remotes";
import { openChannel, proxyContentStore, proxyImages, proxyLeases } from "@ctrd/services";
import type { RpcChannel } from "@ctrd/services";
import type { BuiltImage, ImageTree, TestDaemon } from "@ctrd/testkit/fixtures";
import {
  buildImage,
  buildIndex,
  jsonBlob,
  memoryBlob,
  randomBytesOf,
  startCtrd,
  writeOciArchive,
} from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createHash } from "node:crypto";
import type { Index, Manifest } from "../documents.ts";
import { matchPlatform } from "../platforms.ts";
import {
  importArchive,
  parseImageDocument,
  readDocument,
  readRootfs,
  storeImage,
  withTemporaryLease,
} from "../index.ts";
import type { ConvertOptions, ConvertStores } from "./convert-image.ts";
import { convertImage } from "./convert-image.ts";
import { decompressed } from "./decompress.ts";

const ctx: CallContext = createContext({ namespace: "default" });
let daemon: TestDaemon;
let channel: RpcChannel;
let content: ContentStore;
let stores: ConvertStores;
let directory: string;

beforeAll(async () => {
  daemon = await startCtrd();
  channel = openChannel(daemon.address);
  content = proxyContentStore(channel);
  stores = { content, images: proxyImages(channel), leases: proxyLeases(channel) };
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-convert-"));
});
afterEach(() => rm(directory, { recursive: true }));
afterAll(async () => {
  channel?.close();
  await daemon?.[Symbol.asyncDispose]();
});

/** Stores an image under a name. */
async function store(image: ImageTree, name: string): Promise<void> {
  const file = join(directory, "image.tar");
  await writeOciArchive(file, [{ image, containerdName: name }]);
  await withTemporaryLease(ctx, stores.leases, async (leased) => {
    const index = await importArchive(leased, content, createReadStream(file));
    const [target] = ((await documentOf(index)) as Index).manifests;
    if (target === undefined) throw new Error("the archive has no image");
    const { mediaType, digest, size, annotations } = target;
    await keepAll(leased, target);
    await storeImage(leased, stores.images, name, { mediaType, digest, size, annotations }, new Map());
  });
}

/** Labels everything below a descriptor as a root of its own. */
async function keepAll(leased: CallContext, descriptor: Descriptor): Promise<void> {
  const info = await content.info(leased, descriptor.digest);
  await content.update(leased, { ...info, labels: new Map([["containerd.io/gc.root", "yes"]]) }, [
    "labels.containerd.io/gc.root",
  ]);
  if (!/manifest|index/.test(descriptor.mediaType)) return;
  const document = await documentOf(descriptor);
  const children = document.kind === "index" ? document.manifests : [document.config, ...document.layers];
  for (const child of children) await keepAll(leased, child);
}

async function documentOf(descriptor: Descriptor): Promise<Index | Manifest> {
  return parseImageDocument(await readDocument(ctx, content, descriptor), descriptor);
}

async function manifestOf({ target }: Image): Promise<Manifest> {
  if (target === undefined) throw new Error("no target");
  return (await documentOf(target)) as Manifest;
}

async function bytesOf({ digest }: Descriptor): Promise<Buffer> {
  const reader = await content.reader(ctx, digest);
  const data = Buffer.from(await reader.read(0n, Number(reader.size)));
  await reader.close();
  return data;
}

const convert = (from: string, to: string, options: ConvertOptions): Promise<Image> =>
  convertImage(ctx, stores, from, to, options);
const sha256 = (data: Uint8Array): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;
const big = randomBytesOf("convert", 5 << 20);
const entries = [
  { path: "bin/", type: "directory" },
  { path: "bin/tool", data: "tool", mode: 0o755 },
  { path: "bin/link", type: "hardlink", linkname: "bin/tool" },
  { path: "big", data: big },
  { path: "later", data: "later" },
];
const oneLayer = (options: object = {}): Promise<BuiltImage> => buildImage({ layers: [{ entries }], ...options });

interface TocJson {
  entries: {
    name: string;
    type: string;
    offset?: number;
    chunkOffset?: number;
    chunkSize?: number;
    chunkDigest?: string;
  }[];
}

/** The table of contents, by way of the footer. */
function tocOf(layer: Buffer): { toc: TocJson; digest: string } {
  const footer = layer.subarray(-51);
  const offset = Number.parseInt(footer.toString("latin1", 16, 32), 16);
  expect(footer.toString("latin1", 32, 38)).toBe("STARGZ");
  const tar = gunzipSync(layer.subarray(offset, -51));
  const size = Number.parseInt(tar.toString("latin1", 124, 135), 8);
  const json = tar.subarray(512, 512 + size);
  return { toc: JSON.parse(json.toString()) as TocJson, digest: sha256(json) };
}

describe("convertImage to eStargz", () => {
  it("makes layers whose files can be read on their own", async () => {
    await store(await oneLayer({ mediaTypes: "docker" }), "estargz");
    const image = await convert("estargz", "estargz-to", { layers: "estargz", oci: true });
    const { layers, config } = await manifestOf(image);
    const [layer] = layers;
    if (layer === undefined) throw new Error("no layer");
    expect(layer.mediaType).toBe("application/vnd.oci.image.layer.v1.tar+gzip");
    const bytes = await bytesOf(layer);
    const { toc, digest } = tocOf(bytes);
    expect(layer.annotations.get("containerd.io/snapshot/stargz/toc.digest")).toBe(digest);
    const plain = gunzipSync(bytes);
    expect(layer.annotations.get("io.containers.estargz.uncompressed-size")).toBe(String(plain.length));
    expect((await readRootfs(ctx, content, config)).diffIds).toEqual([sha256(plain)]);
    const { labels } = await content.info(ctx, layer.digest);
    expect(labels.get("containerd.io/uncompressed")).toBe(sha256(plain));
    expect(toc.entries.map(({ name, type }) => `${type} ${name}`)).toEqual([
      "reg .no.prefetch.landmark",
      "dir bin/",
      "reg bin/tool",
      "hardlink bin/link",
      "reg big",
      "chunk big",
      "reg later",
    ]);
    const chunks = toc.entries.filter(({ name }) => name === "big");
    expect(chunks.map(({ chunkOffset = 0, chunkSize = 0 }) => [chunkOffset, chunkSize])).toEqual([
      [0, 4 << 20],
      [4 << 20, 0],
    ]);
    for (const { offset = 0, chunkOffset = 0, chunkDigest } of chunks) {
      const part = big.subarray(chunkOffset, chunkOffset + (4 << 20));
      expect(gunzipSync(bytes.subarray(offset, -51)).subarray(0, part.length).equals(part)).toBe(true);
      expect(chunkDigest).toBe(sha256(part));
    }
  });

  it("puts the files that are fetched ahead in front, with what they need", async () => {
    await store(await oneLayer(), "prefetch");
    const image = await convert("prefetch", "prefetch-to", {
      layers: "estargz",
      prefetch: ["/later", "bin/link", "no"],
    });
    const [layer] = (await manifestOf(image)).layers;
    if (layer === undefined) throw new Error("no layer");
    expect(tocOf(await bytesOf(layer)).toc.entries.map(({ name }) => name)).toEqual([
      "bin/",
      "bin/tool",
      "bin/link",
      "later",
      ".prefetch.landmark",
      "big",
      "big",
    ]);
  });

  it("leaves an image alone that is converted already, and has the same result again", async () => {
    await store(await oneLayer(), "twice");
    const first = await convert("twice", "twice-1", { layers: "estargz", oci: true });
    expect((await convert("twice-1", "twice-2", { layers: "estargz" })).target).toEqual(first.target);
    expect((await convert("twice", "twice-3", { layers: "estargz", oci: true })).target).toEqual(first.target);
    const back = await manifestOf(await convert("twice-1", "twice-4", { layers: "zstd" }));
    expect([...(back.layers[0]?.annotations ?? [])]).toEqual([]);
  });
});

describe("convertImage", () => {
  it("converts a layer that several images share once, keeps attestations, and filters platforms", async () => {
    const images = [
      await oneLayer({ platform: { os: "linux", architecture: "amd64" } }),
      await oneLayer({ platform: { os: "linux", architecture: "arm64" } }),
    ];
    const note = memoryBlob("application/vnd.in-toto+json", "{}");
    const config = jsonBlob("application/vnd.oci.image.config.v1+json", {
      rootfs: { type: "layers", diff_ids: [sha256(Buffer.from("{}"))] },
    });
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const attestation = jsonBlob(mediaType, {
      schemaVersion: 2,
      mediaType,
      config: config.descriptor,
      layers: [note.descriptor],
    });
    const { root, blobs } = buildIndex(images);
    const json = JSON.parse((await root.bytes()).toString()) as { manifests: object[] };
    const entry = {
      ...attestation.descriptor,
      platform: { os: "unknown", architecture: "unknown" },
      annotations: {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": images[0]?.root.descriptor.digest,
      },
    };
    const index = jsonBlob(root.descriptor.mediaType, { ...json, manifests: [...json.manifests, entry] });
    await store({ root: index, blobs: [...blobs, note, config, attestation] }, "index");
    const seen: TransferProgress[] = [];
    const all = await convert("index", "index-all", {
      layers: "zstd",
      progress: (progress) => void seen.push(progress),
    });
    expect(seen.filter(({ stage }) => stage === "complete")).toHaveLength(1);
    if (all.target === undefined) throw new Error("no target");
    const { manifests } = (await documentOf(all.target)) as Index;
    expect(manifests.map(({ platform }) => platform?.architecture)).toEqual(["amd64", "arm64", "unknown"]);
    expect(manifests[2]?.digest).toBe(attestation.descriptor.digest);
    const arm = await convert("index", "index-arm", {
      platform: matchPlatform({ os: "linux", architecture: "arm64", variant: "", osVersion: "" }),
    });
    if (arm.target === undefined) throw new Error("no target");
    const chosen = ((await documentOf(arm.target)) as Index).manifests;
    expect(chosen.map(({ digest }) => digest)).toEqual([images[1]?.root.descriptor.digest]);
    const { labels } = await content.info(ctx, arm.target.digest);
    expect([...labels]).toContainEqual(["containerd.io/gc.ref.content.m.0", chosen[0]?.digest]);
    const none = matchPlatform({ os: "linux", architecture: "s390x", variant: "", osVersion: "" });
    await expect(convert("index", "index-none", { platform: none })).rejects.toMatchObject({ kind: "not-found" });
  });

  it("refuses a layer that is not what the configuration says, and leaves nothing of it", async () => {
    const image = await oneLayer({ compression: "none" });
    const other = memoryBlob("application/vnd.oci.image.layer.v1.tar", Buffer.alloc(1024));
    const json = JSON.parse((await image.root.bytes()).toString()) as object;
    const root = jsonBlob(image.root.descriptor.mediaType, { ...json, layers: [other.descriptor] });
    await store({ root, blobs: [image.config, other] }, "wrong");
    await expect(convert("wrong", "wrong-to", { layers: "gzip" })).rejects.toMatchObject({ kind: "data-loss" });
    expect(await content.listStatuses(ctx, [])).toEqual([]);
    await expect(stores.images.get(ctx, "wrong-to")).rejects.toMatchObject({ kind: "not-found" });
  });

  it("ends soon when it is canceled, and leaves no ingest and no lease", async () => {
    const data = randomBytesOf("slow", 40 << 20);
    await store(await buildImage({ layers: [{ entries: [{ path: "slow", data }] }], compression: "none" }), "slow");
    const abort = new AbortController();
    const progress = ({ stage }: TransferProgress): void => {
      if (stage === "converting") abort.abort();
    };
    const started = performance.now();
    const running = convertImage(withSignal(ctx, abort.signal), stores, "slow", "slow-to", {
      layers: "zstd",
      level: 22,
      progress,
    });
    await expect(running).rejects.toMatchObject({ kind: "canceled" });
    expect(performance.now() - started).toBeLessThan(5000);
    expect(await content.listStatuses(ctx, [])).toEqual([]);
    expect(await stores.leases.list(ctx, [])).toEqual([]);
  });

  it("refuses levels that the compression does not have", async () => {
    for (const options of [
      { layers: "gzip", level: 10 },
      { layers: "zstd", level: 0 },
      { level: 1 },
      { prefetch: ["x"] },
    ] as const) {
      await expect(convert("any", "any-to", options)).rejects.toMatchObject({ kind: "invalid-argument" });
    }
  });
});

describe("decompressed", () => {
  const read = async (data: Buffer, piece: number): Promise<Buffer> => {
    async function* pieces(): AsyncGenerator<Buffer> {
      for (let at = 0; at < data.length; at += piece) yield data.subarray(at, at + piece);
    }
    return Buffer.concat(await Array.fromAsync(decompressed(pieces())));
  };
  const parts = Array.from({ length: 5 }, (_, i) => randomBytesOf(`part ${i}`, 100_000 * i));

  it.each(["gzip", "zstd"] as const)("reads %s in several parts, however it is cut", async (name) => {
    const data = Buffer.concat(parts.map((part) => (name === "gzip" ? gzipSync(part) : zstdCompressSync(part))));
    for (const piece of [777, 65_536, data.length])
      expect((await read(data, piece)).equals(Buffer.concat(parts))).toBe(true);
    await expect(read(data.subarray(0, -5), 65_536)).rejects.toMatchObject({ kind: "invalid-argument" });
  });

  it("reads what is not compressed", async () => {
    expect((await read(Buffer.concat(parts), 1000)).equals(Buffer.concat(parts))).toBe(true);
    expect(await read(Buffer.alloc(0), 1)).toEqual(Buffer.alloc(0));
  });
});
