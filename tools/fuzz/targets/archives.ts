/**
 * Layers and archives of images: tar, and what it is compressed with.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { applyLayer, TarReader, writeDiff } from "@ctrd/archive";
import { createContext } from "@ctrd/core/context";
import { digestOf } from "@ctrd/core/digests";
import { importArchive, parseImageDocument, uncompressed } from "@ctrd/images";
import { tarBuffer, tempDir } from "@ctrd/testkit/fixtures";
import { openContentStore } from "../../../packages/content-local/src/index.ts";
import { BlockWriter } from "../../../packages/images/src/convert/output.ts";
import { writeEstargz } from "../../../packages/images/src/estargz/write-estargz.ts";
import { mutateBytes } from "../mutate.ts";
import { mutateTar } from "../mutate-tar.ts";
import type { OpenTarget, Target } from "../target.ts";
import { ensure, isAnswer, parsed } from "../target.ts";

const maxSize = 16 << 20;

function layers(): Buffer[] {
  return [
    tarBuffer([
      { path: "dir/", type: "directory" },
      { path: "dir/file", data: "hello", mode: 0o4755 },
      { path: "link", type: "symlink", linkname: "dir" },
      { path: "link/through", data: "x" },
      { path: "hard", type: "hardlink", linkname: "dir/file" },
      { path: "pipe", type: "fifo" },
      { path: "x".repeat(120), data: "long name" },
      { path: "time", mtime: 1.5, data: "pax" },
    ]),
    tarBuffer([
      { path: "out", type: "symlink", linkname: "../outside" },
      { path: "out/file", data: "escaped" },
      { path: "hard", type: "hardlink", linkname: "out/kept" },
      { path: "up", type: "symlink", linkname: ".." },
      { path: "up/outside/kept", data: "escaped" },
      { path: "../outside/new", data: "escaped" },
    ]),
    tarBuffer([
      { path: "dir/a", data: "1" },
      { path: "dir/.wh.a" },
      { path: "dir/.wh..wh..opq" },
      { path: ".wh.dir" },
      { path: ".wh..." },
    ]),
    sparse(),
  ];
}

/** A sparse file in PAX 1.0, whose map is in its data. */
function sparse(): Buffer {
  const map = Buffer.alloc(512);
  map.write("2\n0\n4\n1000\n4\n");
  const pax = ["GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=holes", "GNU.sparse.realsize=2000"];
  const records = pax.map((record) => `${record.length + 4} ${record}\n`).join("");
  return tarBuffer([
    { path: "pax", type: "x", data: records },
    { path: "GNUSparseFile.0/holes", data: Buffer.concat([map, Buffer.from("abcdefgh")]) },
  ]);
}

/** A hash of everything below a directory. */
function hashTree(directory: string): string {
  const hash = createHash("sha256");
  const walk = (path: string): void => {
    const { mode, uid, gid, size, nlink, mtimeMs } = lstatSync(path);
    hash.update(JSON.stringify([path, mode, uid, gid, size, nlink, mtimeMs]));
    if ((mode & 0o170000) === 0o040000) for (const name of readdirSync(path).toSorted()) walk(join(path, name));
    else if ((mode & 0o170000) === 0o120000) hash.update(readlinkSync(path));
    else hash.update(readFileSync(path));
  };
  walk(directory);
  return hash.digest("hex");
}

/** Applies layers beside a directory that must stay as it is. */
async function openApply(): Promise<OpenTarget> {
  const directory = await tempDir("fuzz-apply-");
  const [outside, root, empty, file] = ["outside", "root", "empty", "layer"].map((name) =>
    join(directory.path, name),
  ) as [string, string, string, string];
  mkdirSync(outside);
  mkdirSync(empty);
  writeFileSync(join(outside, "kept"), "kept");
  const before = hashTree(outside);
  let turn = 0;
  return {
    run: async (input) => {
      rmSync(root, { recursive: true, force: true });
      mkdirSync(root);
      writeFileSync(file, compressNow(input, turn++));
      const limits = { maxSize, maxRatio: 100, maxEntries: 1000 };
      try {
        await applyLayer({ path: file, root, overlay: turn % 2 === 0, limits });
      } finally {
        ensure(hashTree(outside) === before, () => "something outside of the root has changed");
        const names = readdirSync(directory.path).toSorted().join();
        ensure(names === "empty,layer,outside,root", () => `beside the root there is now ${names}`);
      }
      await readBack(empty, root);
    },
    close: () => directory[Symbol.asyncDispose](),
  };
}

function compressNow(input: Buffer, turn: number): Buffer {
  return turn % 8 === 0 ? gzipSync(input, { level: 1 }) : turn % 8 === 1 ? zstdCompressSync(input) : input;
}

/** What was unpacked can be packed again, and that can be read. */
async function readBack(empty: string, root: string): Promise<void> {
  const reader = new TarReader({ begin: () => {}, data: () => {}, end: () => {} });
  await writeDiff({ lower: empty, upper: root, compression: "none" }, (chunk) => reader.push(chunk));
  reader.finish();
}

/** Reads in pieces of a size that the input itself chooses, which must make no difference. */
function readTar(input: Buffer): void {
  const whole = parsed(() => entriesOf(input, input.length + 1));
  const pieces = parsed(() => entriesOf(input, 1 + ((input[0] ?? 0) % 700)));
  ensure(whole === pieces, () => `read whole: ${whole}\nin pieces: ${pieces}`);
}

function entriesOf(input: Buffer, piece: number): string {
  const found: string[] = [];
  let bytes = 0;
  const reader = new TarReader({
    begin: (entry) => {
      bytes = 0;
      ensure(entry.size >= 0 && Number.isSafeInteger(entry.size), () => `size ${entry.size}`);
      found.push(JSON.stringify([entry.type, entry.name, entry.linkName, entry.size, entry.mode]));
    },
    data: (data, position) => {
      bytes += data.length;
      ensure(position >= 0, () => `position ${position}`);
    },
    end: () => found.push(String(bytes)),
  });
  for (let at = 0; at < input.length; at += piece) reader.push(input.subarray(at, at + piece));
  reader.finish();
  return found.join("\n");
}

async function openImport(): Promise<OpenTarget> {
  const directory = await tempDir("fuzz-import-");
  const store = await openContentStore(directory.path);
  const ctx = createContext({ namespace: "fuzz" });
  return {
    run: async (input) => {
      const source = (async function* () {
        yield input;
      })();
      try {
        const index = await importArchive(ctx, store, source, { compressLayers: input.length % 2 === 0 });
        const reader = await store.reader(ctx, index.digest);
        parsed(() => parseImageDocument(Buffer.alloc(0), index));
        await reader.close();
      } finally {
        const left = await store.listStatuses(ctx, []);
        for (const { ref } of left) await store.abort(ctx, ref);
        ensure(left.length === 0, () => `ingests are left: ${left.map(({ ref }) => ref).join()}`);
      }
    },
    close: async () => {
      await store.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

function archives(): Buffer[] {
  const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } });
  const blob = (data: string) => ({ path: `blobs/sha256/${digestOf(data).slice(7)}`, data });
  const descriptor = (mediaType: string, data: string) => ({ mediaType, digest: digestOf(data), size: data.length });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [],
  });
  const index = JSON.stringify({
    schemaVersion: 2,
    manifests: [descriptor("application/vnd.oci.image.manifest.v1+json", manifest)],
  });
  return [
    tarBuffer([
      { path: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
      { path: "index.json", data: index },
      blob(manifest),
      blob(config),
    ]),
    tarBuffer([
      { path: "layer/layer.tar", data: tarBuffer([{ path: "a", data: "b" }]) },
      { path: "linked/layer.tar", type: "symlink", linkname: "../layer/layer.tar" },
      { path: "config.json", data: config },
      {
        path: "manifest.json",
        data: '[{"Config":"config.json","RepoTags":["a:1"],"Layers":["layer/layer.tar","linked/layer.tar"]}]',
      },
    ]),
  ];
}

/** Compressed bytes, cut into pieces; a bomb must end at the limit. */
async function decompress(input: Buffer): Promise<void> {
  const piece = 1 + ((input[1] ?? 0) << 4) + ((input[0] ?? 0) % 13);
  const source = async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < input.length; at += piece) yield Buffer.from(input.subarray(at, at + piece));
  };
  let size = 0;
  for await (const chunk of uncompressed(source(), { maxSize })) size += chunk.length;
  ensure(size <= maxSize, () => `${size} bytes came through`);
}

function compressedSeeds(): Buffer[] {
  const tar = tarBuffer([{ path: "a", data: "hello".repeat(100) }]);
  const bomb = Buffer.alloc(32 << 20);
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
  return [
    gzipSync(tar),
    Buffer.concat([gzipSync("a"), gzipSync(tar), gzipSync("")]),
    zstdCompressSync(tar),
    Buffer.concat([zstdCompressSync("a"), skippable, zstdCompressSync(tar)]),
    gzipSync(bomb, { level: 9 }),
    zstdCompressSync(bomb),
    tar,
  ];
}

async function openDecompressors(): Promise<OpenTarget> {
  const directory = await tempDir("fuzz-unzip-");
  const file = join(directory.path, "layer");
  return {
    run: async (input) => {
      const failures: unknown[] = [];
      const attempt = (one: Promise<unknown>): Promise<unknown> => one.catch((error: unknown) => failures.push(error));
      await attempt(decompress(input));
      writeFileSync(file, input);
      const root = join(directory.path, "root");
      rmSync(root, { recursive: true, force: true });
      mkdirSync(root);
      await attempt(applyLayer({ path: file, root, limits: { maxSize, maxRatio: 100, maxEntries: 1000 } }));
      const once = async function* (): AsyncGenerator<Buffer> {
        yield input;
      };
      await attempt(writeEstargz(once, { level: 1, prefetch: ["a"] }, new BlockWriter(async () => {})));
      const fault = failures.find((error) => !isAnswer(error));
      if (fault !== undefined) throw fault;
    },
    close: () => directory[Symbol.asyncDispose](),
  };
}

export const archiveTargets: readonly Target[] = [
  { name: "tar-apply", seeds: layers, mutate: mutateTar, open: openApply },
  { name: "tar-read", seeds: () => [...layers(), ...archives()], mutate: mutateTar, open: () => ({ run: readTar }) },
  { name: "image-import", seeds: archives, mutate: mutateTar, open: openImport },
  { name: "decompress", seeds: compressedSeeds, mutate: mutateBytes, limit: 4_000, open: openDecompressors },
];
