import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, it } from "vitest";
import { randomBytesOf } from "../fixtures/generated-files.ts";
import type { TarEntry } from "../fixtures/tar-writer.ts";
import { tarBuffer } from "../fixtures/tar-writer.ts";
import { describeTree } from "../snapshots/trees.ts";
import { bind, mediaTypes } from "./bench.ts";
import type { CurrentDiffBench, DifferSuiteOptions } from "./suite.ts";

const up = "../../../../../../../../../..";
const link = (path: string, linkname: string): TarEntry => ({ path, type: "symlink", linkname });

/** Layers that reach for what is outside; `outside` is a directory with a file `file` in it. */
const attacks: [string, (outside: string) => TarEntry[]][] = [
  ["names that climb", (outside) => [{ path: `${up}${outside}/file`, data: "x" }, { path: `a/${up}${outside}/new` }]],
  ["absolute names", (outside) => [{ path: `${outside}/file`, data: "x" }, { path: `/${outside}/new` }]],
  ["a file through an absolute link", (outside) => [link("l", outside), { path: "l/file", data: "x" }]],
  ["a file through a climbing link", (outside) => [link("l", `${up}${outside}`), { path: "l/new", data: "x" }]],
  ["a file through a chain of links", (outside) => [link("a", "b"), link("b", outside), { path: "a/file", data: "x" }]],
  ["a file over a link", (outside) => [link("l", `${outside}/file`), { path: "l", data: "x", mode: 0o777 }]],
  [
    "a directory over a link",
    (outside) => [link("l", outside), { path: "l/", type: "directory", mode: 0o777, uid: 9 }],
  ],
  ["a hard link to an absolute name", (outside) => hardLinked(`${outside}/file`)],
  ["a hard link to a climbing name", (outside) => hardLinked(`${up}${outside}/file`)],
  ["a hard link through a link", (outside) => [link("l", outside), ...hardLinked("l/file")]],
  ["a hard link to a link", (outside) => [link("l", `${outside}/file`), ...hardLinked("l")]],
  ["a whiteout through a link", (outside) => [link("l", outside), { path: "l/.wh.file" }]],
  ["a whiteout with a climbing name", (outside) => [{ path: `${up}${outside}/.wh.file` }]],
  ["an opaque directory through a link", (outside) => [link("l", outside), { path: "l/.wh..wh..opq" }]],
  [
    "a device through a link",
    (outside) => [link("l", outside), { path: "l/null", type: "char", devMajor: 1, devMinor: 3 }],
  ],
  ["attributes over a link", (outside) => [link("l", `${outside}/file`), { path: "l", xattrs: { "user.x": "y" } }]],
  ["a link instead of the root", (outside) => [link(".", outside), link("./", outside), { path: "file", data: "x" }]],
  [
    "a directory that becomes a link",
    (outside) => [
      { path: "d/", type: "directory" },
      { path: "d/file", data: "x" },
      link("d", outside),
      { path: "d/file", data: "x" },
      { path: "d/", type: "directory", mode: 0o777 },
    ],
  ],
];

function hardLinked(linkname: string): TarEntry[] {
  return [
    { path: "h", type: "hardlink", linkname, mode: 0o777, uid: 9 },
    { path: "h", data: "x" },
  ];
}

const good = tarBuffer([
  { path: "a", data: randomBytesOf("differ/hostile", 100_000) },
  { path: "b", data: "b" },
]);

/** A copy with some bytes replaced. */
function damaged(data: Buffer, at: number, ...bytes: number[]): Buffer {
  const copy = Buffer.from(data);
  copy.set(bytes, at);
  return copy;
}

const gzip = gzipSync(good);
const broken: [string, Buffer][] = [
  ["a tar that ends in a header", good.subarray(0, 300)],
  ["a tar that ends in a file", good.subarray(0, 50_000)],
  ["bytes that are no tar", randomBytesOf("differ/garbage", 20_000)],
  ["a text", Buffer.from("<html>not found</html>".repeat(100))],
  ["a header with a wrong checksum", tarBuffer([{ path: "a", lieAboutChecksum: 1 }])],
  ["a file whose size is a lie", tarBuffer([{ path: "a", data: "x", lieAboutSize: 1 << 30 }])],
  ["a PAX record that is none", tarBuffer([{ path: "x", type: "x", data: "99 path=short\n" }, { path: "a" }])],
  ["a gzip that ends early", gzip.subarray(0, gzip.length - 1000)],
  ["a gzip without its end", gzip.subarray(0, gzip.length - 4)],
  ["a gzip with a wrong checksum", damaged(gzip, gzip.length - 8, 1, 2, 3, 4)],
  ["a gzip with damaged data", damaged(gzip, 50_000, 0, 255, 0, 255, 0, 255)],
];

/** Layers that are broken or mean harm: nothing outside the target changes, and what cannot be read is an error. */
export function hostileTests(current: CurrentDiffBench, options: DifferSuiteOptions): void {
  it.each(attacks)("keeps to its target: %s", async (_what, attack) => {
    const { differ, ctx } = current();
    const place = current().directory("place");
    const [outside, root] = [join(place, "outside"), join(place, "root")];
    for (const path of [outside, root]) mkdirSync(path);
    writeFileSync(join(outside, "file"), "precious", { mode: 0o600 });
    const before = describeTree(outside, { times: true });
    // Whether the layer is refused or its names are taken to be inside is the differ's choice.
    await differ.apply(ctx, await current().layer(attack(outside)), [bind(root)]).catch(() => {});
    expect(describeTree(outside, { times: true })).toEqual(before);
  });

  const withZstd = (options.compressions ?? ["zstd"]).includes("zstd");
  const zstd = zstdCompressSync(good);
  const cases = withZstd
    ? [...broken, ["a zstd that ends early", zstd.subarray(0, zstd.length - 1000)] as [string, Buffer]]
    : broken;
  it.each(cases)("refuses %s, and goes on working", async (_what, data) => {
    const { differ, ctx } = current();
    const root = current().directory();
    await expect(differ.apply(ctx, await current().blob(data, mediaTypes.gzip), [bind(root)])).rejects.toThrow();
    expect(await current().leftMounts()).toEqual([]);
    await differ.apply(ctx, await current().blob(good, mediaTypes.none), [bind(current().directory())]);
  });

  it("refuses entries of unknown types", async () => {
    const { differ, ctx } = current();
    const layer = await current().layer([{ path: "odd", type: "Z" }]);
    await expect(differ.apply(ctx, layer, [bind(current().directory())])).rejects.toThrow();
  });
}
