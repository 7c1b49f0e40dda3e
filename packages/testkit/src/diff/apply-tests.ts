import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { digestOf } from "@ctrd/core/digests";
import { expect, it } from "vitest";
import { expectKind, expectSame } from "../expectations.ts";
import { randomBytesOf } from "../fixtures/generated-files.ts";
import type { TarEntry } from "../fixtures/tar-writer.ts";
import { tarBuffer } from "../fixtures/tar-writer.ts";
import { bind, compress, mediaTypes } from "./bench.ts";
import type { CurrentDiffBench, DifferSuiteOptions } from "./suite.ts";

const entries: TarEntry[] = [
  { path: "dir/", type: "directory", mode: 0o711 },
  { path: "dir/file", data: "hello" },
];
const tar = tarBuffer(entries);

/** Formats of layers, what an apply answers, and what it refuses to read. */
export function applyTests(current: CurrentDiffBench, options: DifferSuiteOptions): void {
  const compressions = options.compressions ?? ["none", "gzip", "zstd"];

  async function expectApplied(blob: Buffer, mediaType: string, whole: Buffer = tar): Promise<void> {
    const { differ, ctx } = current();
    const root = current().directory();
    const applied = await differ.apply(ctx, await current().blob(blob, mediaType), [bind(root)]);
    const size = BigInt(whole.length);
    expectSame(applied, { mediaType: mediaTypes.none, digest: digestOf(whole), size, annotations: new Map() });
    expect(readFileSync(join(root, "dir/file"), "utf8")).toBe("hello");
    expect(lstatSync(join(root, "dir")).mode & 0o7777).toBe(0o711);
  }

  it.each(compressions)("applies a layer with compression %s, and tells of what is inside", (compression) =>
    expectApplied(compress(tar, compression), mediaTypes[compression]),
  );

  it.each([
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  ])("applies %s", (mediaType) =>
    expectApplied(compress(tar, mediaType.endsWith("gzip") ? "gzip" : "none"), mediaType),
  );

  // Registries hold layers whose type says gzip and whose bytes are something else.
  it.each(compressions)("applies a layer that is called gzip and has the compression %s", (compression) =>
    expectApplied(compress(tar, compression), mediaTypes.gzip),
  );

  it("applies streams of several members or frames", async () => {
    const halves = [tar.subarray(0, 700), tar.subarray(700)];
    await expectApplied(Buffer.concat(halves.map((half) => gzipSync(half))), mediaTypes.gzip);
    if (!compressions.includes("zstd")) return;
    await expectApplied(Buffer.concat(halves.map((half) => zstdCompressSync(half))), mediaTypes.zstd);
  });

  it("counts what follows the end of the archive, and applies nothing of it", async () => {
    const padded = Buffer.concat([tar, Buffer.alloc(10_240 - (tar.length % 10_240))]);
    await expectApplied(padded, mediaTypes.none, padded);
    const followed = Buffer.concat([tar, tarBuffer([{ path: "late", data: "x" }])]);
    const root = current().directory();
    const descriptor = await current().blob(gzipSync(followed), mediaTypes.gzip);
    const applied = await current().differ.apply(current().ctx, descriptor, [bind(root)]);
    expect(applied).toMatchObject({ digest: digestOf(followed), size: BigInt(followed.length) });
    expect(readdirSync(root)).toEqual(["dir"]);
  });

  it("applies an empty layer", async () => {
    const root = current().directory();
    const empty = Buffer.alloc(1024);
    const descriptor = await current().blob(empty, mediaTypes.none);
    const applied = await current().differ.apply(current().ctx, descriptor, [bind(root)], { syncFs: true });
    expect(applied).toMatchObject({ digest: digestOf(empty), size: 1024n });
    expect(readdirSync(root)).toEqual([]);
  });

  it("applies files of many sizes, and many files", async () => {
    const sizes = [0, 1, 511, 512, 513, 65_536, 1_048_577, 9_000_000];
    const files = sizes.map((size) => ({ path: `f${size}`, data: randomBytesOf(`differ/${size}`, size) }));
    const many = Array.from({ length: 2000 }, (_unused, n): TarEntry => ({ path: `d${n % 20}/f${n}`, data: `${n}` }));
    const root = current().directory();
    const descriptor = await current().layer([...files, ...many], "gzip");
    await current().differ.apply(current().ctx, descriptor, [bind(root)]);
    for (const { path, data } of files) expect(readFileSync(join(root, path)).equals(data), path).toBe(true);
    for (let n = 0; n < 2000; n++) expect(readFileSync(join(root, `d${n % 20}/f${n}`), "utf8")).toBe(`${n}`);
  });

  it.each([
    "",
    "application/octet-stream",
    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.layer.v1.tar+lz4",
  ])("leaves the media type %j to other differs", async (mediaType) => {
    const root = current().directory();
    const { differ, ctx } = current();
    await expectKind(differ.apply(ctx, await current().blob(tar, mediaType), [bind(root)]), "not-implemented");
    expect(readdirSync(root)).toEqual([]);
  });

  it("does not find a layer that is not in the store", async () => {
    const { differ, ctx } = current();
    const descriptor = { ...(await current().layer(entries)), digest: digestOf("something else") };
    await expectKind(differ.apply(ctx, descriptor, [bind(current().directory())]), "not-found");
  });

  it("applies layers side by side", async () => {
    const { differ, ctx } = current();
    const layers = Array.from({ length: 12 }, async (_unused, n) => {
      const root = current().directory();
      await differ.apply(ctx, await current().layer([{ path: "which", data: `${n}` }], "gzip"), [bind(root)]);
      return readFileSync(join(root, "which"), "utf8");
    });
    expect(await Promise.all(layers)).toEqual(Array.from({ length: 12 }, (_unused, n) => `${n}`));
  });
}
