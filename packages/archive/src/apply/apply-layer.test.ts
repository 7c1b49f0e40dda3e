import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { lgetxattr, lsetxattr, mount, unmountAll } from "@ctrd/sys";
import type { TarEntry } from "@ctrd/testkit/fixtures";
import { tarBuffer } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AppliedLayer, ApplyLayerOptions } from "./apply-layer.ts";
import { applyLayer } from "./apply-layer.ts";

let dir: string;
let root: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "ctrd-apply-"));
  root = join(dir, "root");
  fs.mkdirSync(root);
});
afterEach(() => fs.rmSync(dir, { recursive: true }));

function apply(entries: TarEntry[] | Buffer, options: Partial<ApplyLayerOptions> = {}): Promise<AppliedLayer> {
  const path = join(dir, "layer");
  fs.writeFileSync(path, Array.isArray(entries) ? tarBuffer(entries) : entries);
  return applyLayer({ path, root, ...options });
}

function write(path: string, data = ""): void {
  fs.mkdirSync(join(root, path, ".."), { recursive: true });
  fs.writeFileSync(join(root, path), data);
}

/** Everything below the root, with a directory's slash. */
function tree(): string[] {
  const walk = (path: string): string[] =>
    fs.readdirSync(join(root, path), { withFileTypes: true }).flatMap((one) => {
      const inner = join(path, one.name);
      return one.isDirectory() ? [`${inner}/`, ...walk(inner)] : [inner];
    });
  return walk("").sort();
}

const stat = (path: string): fs.BigIntStats => fs.lstatSync(join(root, path), { bigint: true });
const sha256 = (data: Buffer): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;

describe("entries", () => {
  it("are made with owner, mode, xattrs and times", async () => {
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    await apply([
      { path: "./", type: "directory", mode: 0o700, uid: 5 },
      { path: "dir/", type: "directory", mode: 0o1770, uid: 1, gid: 2, mtime: 1000, xattrs: { "user.d": "v" } },
      { path: "dir/file", mode: 0o4751, uid: 3, gid: 4, mtime: 1234.5, data: "hello", pax: { atime: "2000.25" } },
      { path: "dir/caps", mode: 0o755, uid: 9, xattrs: { "security.capability": capability } },
      { path: "dir/sym", type: "symlink", linkname: "../nowhere", uid: 7, mtime: 3000, xattrs: { "security.s": "w" } },
      { path: "dir/hard", type: "hardlink", linkname: "dir/file" },
      { path: "dir/fifo", type: "fifo", mode: 0o620, gid: 5 },
      { path: "dir/null", type: "char", devMajor: 1, devMinor: 3, mode: 0o666 },
      { path: "dir/disk", type: "block", devMajor: 259, devMinor: 70_000, mode: 0o660 },
      { path: "old/", type: "directory", mtime: -5, pax: { mtime: "-5" } },
    ]);
    expect(stat(".")).toMatchObject({ uid: 0n, mode: 0o40755n });
    expect(stat("dir")).toMatchObject({ mode: 0o41770n, uid: 1n, gid: 2n, mtimeMs: 1_000_000n });
    expect(lgetxattr(join(root, "dir"), "user.d")?.toString()).toBe("v");
    expect(stat("dir/file")).toMatchObject({ mode: 0o104751n, uid: 3n, gid: 4n, nlink: 2n, size: 5n });
    expect(stat("dir/file")).toMatchObject({ mtimeNs: 1_234_500_000_000n, atimeNs: 2_000_250_000_000n });
    expect(lgetxattr(join(root, "dir/caps"), "security.capability")).toEqual(capability);
    expect(fs.readlinkSync(join(root, "dir/sym"))).toBe("../nowhere");
    expect(stat("dir/sym")).toMatchObject({ uid: 7n, mtimeMs: 3_000_000n });
    expect(lgetxattr(join(root, "dir/sym"), "security.s")?.toString()).toBe("w");
    expect(stat("dir/hard").ino).toBe(stat("dir/file").ino);
    expect(stat("dir/fifo")).toMatchObject({ mode: 0o10620n, gid: 5n });
    expect(stat("dir/null")).toMatchObject({ mode: 0o20666n, rdev: 0x103n });
    expect(stat("dir/disk").mode).toBe(0o60660n);
    expect(stat("old").mtimeMs).toBe(0n);
  });

  it("imply directories with mode 0755, through links that lead nowhere too", async () => {
    await apply([
      { path: "a/b/c/file" },
      { path: "link", type: "symlink", linkname: "/x/../target/deep" },
      { path: "link/inner/file" },
      { path: "/abs/../x/./y" },
    ]);
    expect(tree()).toEqual([
      "a/",
      "a/b/",
      "a/b/c/",
      "a/b/c/file",
      "link",
      "target/",
      "target/deep/",
      "target/deep/inner/",
      "target/deep/inner/file",
      "x/",
      "x/y",
    ]);
    expect(stat("target/deep").mode).toBe(0o40755n);
  });

  it("replace what is there, but merge directories", async () => {
    write("dir/kept");
    write("tree/below/file");
    write("file", "old");
    fs.symlinkSync("dir", join(root, "link"));
    fs.linkSync(join(root, "file"), join(root, "other"));
    await apply([
      { path: "dir/", type: "directory", mode: 0o711 },
      { path: "tree", data: "now a file" },
      { path: "file", data: "new" },
      { path: "link/", type: "directory" },
      { path: "link/in", data: "x" },
    ]);
    expect(tree()).toEqual(["dir/", "dir/kept", "file", "link/", "link/in", "other", "tree"]);
    expect(stat("dir").mode).toBe(0o40711n);
    expect(fs.readFileSync(join(root, "other"), "utf8")).toBe("old");
    expect(fs.readFileSync(join(root, "file"), "utf8")).toBe("new");
  });

  it("go to the right place after a link they went through is replaced", async () => {
    await apply([
      { path: "one/", type: "directory" },
      { path: "two/", type: "directory" },
      { path: "link", type: "symlink", linkname: "one" },
      { path: "link/a" },
      { path: "link", type: "symlink", linkname: "two" },
      { path: "link/b" },
    ]);
    expect(tree()).toEqual(["link", "one/", "one/a", "two/", "two/b"]);
  });

  it("keep names that are not UTF-8", async () => {
    const tar = tarBuffer([{ path: "name-XY", data: "x" }]);
    tar.set([0xff, 0xfe], 5);
    tar.fill(0x20, 148, 156);
    const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    await apply(Buffer.concat([tar.subarray(0, 1024), tarBuffer([{ path: "dïr/é" }])]));
    const names = fs.readdirSync(root, "latin1").sort();
    expect(names).toEqual([Buffer.from("dïr").toString("latin1"), "name-\xff\xfe"]);
  });

  it("make sparse files with their holes", async () => {
    const map = { "GNU.sparse.map": "1048576,5", "GNU.sparse.size": String(4 << 20) };
    await apply([{ path: "sparse", data: "hello", pax: map }]);
    expect(stat("sparse").size).toBe(4n << 20n);
    expect(stat("sparse").blocks).toBeLessThan(64n);
    expect(fs.readFileSync(join(root, "sparse")).subarray(1 << 20, (1 << 20) + 6)).toEqual(Buffer.from("hello\0"));
  });

  it("without owners when told so", async () => {
    await apply([{ path: "file", uid: 1000 }], { owners: false });
    expect(stat("file").uid).toBe(0n);
  });

  it("have no attributes that only administrators set, but a warning", async () => {
    const warnings: string[] = [];
    const xattrs = { "trusted.overlay.redirect": "/etc", "user.x": "1" };
    await apply(
      [
        { path: "dir/", type: "directory", xattrs },
        { path: "file", xattrs },
      ],
      { warn: (message) => warnings.push(message) },
    );
    expect(warnings).toEqual([
      "extended attribute trusted.overlay.redirect of dir/ is not taken from layers",
      "extended attribute trusted.overlay.redirect of file is not taken from layers",
    ]);
    for (const path of ["dir", "file"]) {
      expect(lgetxattr(join(root, path), "trusted.overlay.redirect")).toBeUndefined();
      expect(lgetxattr(join(root, path), "user.x")?.toString()).toBe("1");
    }
  });

  it("warn of attributes that the file system lacks", async () => {
    mount("tmpfs", root, "ramfs");
    try {
      const warnings: string[] = [];
      await apply([{ path: "file", xattrs: { "user.x": "1" } }], { warn: (message) => warnings.push(message) });
      expect(warnings).toEqual(["extended attribute user.x of file is not supported by the file system"]);
    } finally {
      unmountAll(root);
    }
  });
});

describe("compression", () => {
  const data = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * index) >> 7));
  const tar = tarBuffer([
    { path: "a", data },
    { path: "b", data: "end" },
  ]);
  const [head, tail] = [tar.subarray(0, 1_000_000), tar.subarray(1_000_000)];
  const skippable = Buffer.from("502a4d1804000000deadbeef", "hex");

  it.each<[string, Buffer, string]>([
    ["none", tar, "none"],
    ["gzip", gzipSync(tar), "gzip"],
    ["gzip of several members", Buffer.concat([gzipSync(head), gzipSync(tail)]), "gzip"],
    ["zstd", zstdCompressSync(tar), "zstd"],
    ["zstd of several frames", Buffer.concat([zstdCompressSync(head), zstdCompressSync(tail)]), "zstd"],
    ["zstd of very many frames", Buffer.concat(inFrames(tar, 3000)), "zstd"],
    ["zstd with skippable frames", Buffer.concat([skippable, zstdCompressSync(tar), skippable]), "zstd"],
  ])("%s", async (_, layer, compression) => {
    const applied = await apply(layer);
    expect(applied).toEqual({ digest: sha256(tar), size: tar.length, compression, entries: 2 });
    expect(fs.readFileSync(join(root, "a"))).toEqual(data);
  });

  it("zstd of small frames that become large", async () => {
    const zeros = tarBuffer([{ path: "zeros", data: Buffer.alloc(20 << 20) }]);
    const layer = Buffer.concat([...inFrames(zeros.subarray(0, 4000), 500), zstdCompressSync(zeros.subarray(4000))]);
    expect(await apply(layer)).toMatchObject({ digest: sha256(zeros), size: zeros.length });
  });

  it("hashes what follows the end of the archive", async () => {
    const padded = Buffer.concat([tar, Buffer.alloc(10_240)]);
    expect(await apply(gzipSync(padded))).toMatchObject({ digest: sha256(padded), size: padded.length });
  });

  it.each<[string, Buffer]>([
    ["truncated gzip", gzipSync(tar).subarray(0, -5000)],
    ["gzip without its trailer", gzipSync(tar).subarray(0, -8)],
    ["damaged gzip", damaged(gzipSync(tar))],
    ["truncated zstd", zstdCompressSync(tar).subarray(0, -100)],
    ["damaged zstd", damaged(zstdCompressSync(tar, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }))],
    ["garbage after zstd", Buffer.concat([zstdCompressSync(tar), Buffer.from("garbage")])],
  ])("refuses %s", async (_, layer) => {
    await expect(apply(layer)).rejects.toThrow(expect.objectContaining({ kind: "invalid-argument" }));
  });

  it("uses igzip when there is one, unless CONTAINERD_DISABLE_IGZIP is set", async () => {
    const bin = join(dir, "bin");
    fs.mkdirSync(bin);
    fs.writeFileSync(join(bin, "igzip"), `#!/bin/sh\necho used >> ${dir}/used\nexec gzip "$@"\n`, { mode: 0o755 });
    const big = tarBuffer([
      { path: "big", data: execFileSync("head", ["-c", "12m", "/dev/urandom"], { maxBuffer: 1 << 25 }) },
    ]);
    const path = process.env.PATH;
    process.env.PATH = `${bin}:${path}`;
    try {
      expect(await apply(gzipSync(big, { level: 1 }))).toMatchObject({ digest: sha256(big) });
      expect(fs.readFileSync(join(dir, "used"), "utf8")).toBe("used\n");
      await expect(apply(gzipSync(big, { level: 1 }).subarray(0, -10))).rejects.toThrow(
        /igzip exited with 1: .*end of file/,
      );
      process.env.CONTAINERD_DISABLE_IGZIP = "1";
      expect(await apply(gzipSync(big, { level: 1 }))).toMatchObject({ digest: sha256(big) });
      expect(fs.readFileSync(join(dir, "used"), "utf8")).toBe("used\nused\n");
    } finally {
      process.env.PATH = path;
      delete process.env.CONTAINERD_DISABLE_IGZIP;
    }
  });
});

function inFrames(data: Buffer, size: number): Buffer[] {
  const count = Math.ceil(data.length / size);
  return Array.from({ length: count }, (_, index) => zstdCompressSync(data.subarray(index * size, (index + 1) * size)));
}

function damaged(data: Buffer): Buffer {
  const copy = Buffer.from(data);
  for (let at = copy.length >> 1; at < (copy.length >> 1) + 64; at++) copy[at] = (copy[at] ?? 0) ^ 0x5a;
  return copy;
}

describe("whiteouts", () => {
  it("remove at once", async () => {
    write("dir/gone/deep");
    write("dir/kept");
    write("file");
    await apply([{ path: "dir/.wh.gone" }, { path: ".wh.file" }, { path: ".wh.absent" }, { path: "new/.wh.x" }]);
    expect(tree()).toEqual(["dir/", "dir/kept", "new/"]);
  });

  it("opaque removes all but what this layer wrote, through links too", async () => {
    write("dir/old/deep");
    write("dir/both/old");
    fs.symlinkSync("dir", join(root, "link"));
    await apply([
      { path: "dir/new" },
      { path: "dir/both/new" },
      { path: "link/linked" },
      { path: "dir/.wh..wh..opq" },
      { path: "dir/later" },
    ]);
    expect(tree()).toEqual(["dir/", "dir/both/", "dir/both/new", "dir/later", "dir/linked", "dir/new", "link"]);
  });

  it("of names that look like markers", async () => {
    write(".wh.x");
    await apply([{ path: ".wh..wh.x" }]);
    expect(tree()).toEqual([]);
  });

  it.each([".wh.", ".wh..", ".wh...", "dir/.wh..."])("%s is refused", async (path) => {
    write("dir/file");
    await expect(apply([{ path }])).rejects.toThrow(
      `apply layer: entry "${path}": invalid layer archive: whiteout "${path.split("/").at(-1)}" leaves its directory`,
    );
    expect(tree()).toEqual(["dir/", "dir/file"]);
  });
});

describe("overlay", () => {
  const isWhiteout = (path: string): boolean => stat(path).isCharacterDevice() && stat(path).rdev === 0n;
  const opaque = (path: string): string | undefined =>
    lgetxattr(join(root, path), "trusted.overlay.opaque")?.toString();

  it("gets its own markers", async () => {
    await apply(
      [
        { path: "dir/", type: "directory" },
        { path: "dir/.wh.gone", uid: 7, gid: 8 },
        { path: "dir/sub/", type: "directory" },
        { path: "dir/sub/.wh..wh..opq" },
        { path: "dir/sub/new" },
      ],
      { overlay: true },
    );
    expect(tree()).toEqual(["dir/", "dir/gone", "dir/sub/", "dir/sub/new"]);
    expect(isWhiteout("dir/gone")).toBe(true);
    expect(stat("dir/gone")).toMatchObject({ uid: 7n, gid: 8n });
    expect(opaque("dir/sub")).toBe("y");
    expect(opaque("dir")).toBeUndefined();
  });

  it("hides the lower directory when a directory follows its whiteout", async () => {
    await apply(
      [
        { path: ".wh.a" },
        { path: "a/", type: "directory" },
        { path: ".wh.b" },
        { path: "b/file" },
        { path: ".wh.c" },
        { path: "c", data: "file" },
        { path: "d" },
        { path: ".wh.d" },
      ],
      { overlay: true },
    );
    expect([opaque("a"), opaque("b")]).toEqual(["y", "y"]);
    expect(fs.readFileSync(join(root, "c"), "utf8")).toBe("file");
    expect(isWhiteout("d")).toBe(true);
  });

  it("takes attributes of implied directories from the nearest lower that has them", async () => {
    const [near, far] = [join(dir, "near"), join(dir, "far")];
    fs.mkdirSync(join(near, "a"), { recursive: true });
    fs.mkdirSync(join(far, "a", "b"), { recursive: true });
    fs.chmodSync(join(near, "a"), 0o2710);
    fs.chownSync(join(near, "a"), 11, 12);
    fs.chmodSync(join(near, "a"), 0o2710);
    fs.chmodSync(join(far, "a"), 0o700);
    fs.chmodSync(join(far, "a", "b"), 0o1777);
    lsetxattr(join(far, "a", "b"), "user.x", Buffer.from("y"));
    lsetxattr(join(far, "a", "b"), "trusted.overlay.opaque", Buffer.from("y"));
    await apply([{ path: "a/b/c/file" }], { overlay: true, lowers: [near, far] });
    expect(stat("a")).toMatchObject({ mode: 0o42710n, uid: 11n, gid: 12n });
    expect(stat("a/b").mode).toBe(0o41777n);
    expect(lgetxattr(join(root, "a/b"), "user.x")?.toString()).toBe("y");
    expect(opaque("a/b")).toBeUndefined();
    expect(stat("a/b/c").mode).toBe(0o40755n);
  });
});

describe("limits", () => {
  const zeros = gzipSync(tarBuffer([{ path: "zeros", data: Buffer.alloc(80 << 20) }, { path: "more" }]));

  it("JS-bomb: of size, ratio and entries", async () => {
    await expect(apply(zeros, { limits: { maxSize: 1 << 20 } })).rejects.toThrow(/larger than 1048576 bytes/);
    await expect(apply(zeros, { limits: { maxRatio: 100 } })).rejects.toThrow(/more than 100 times as much/);
    await expect(apply(zeros, { limits: { maxEntries: 1 } })).rejects.toThrow(
      expect.objectContaining({ kind: "resource-exhausted" }),
    );
    await apply(zeros, { limits: { maxSize: 1 << 30, maxRatio: 10_000, maxEntries: 10 } });
  });

  it("a full disk is named with the entry", async () => {
    mount("tmpfs", root, "tmpfs", 0, "size=1m");
    try {
      await expect(apply(zeros)).rejects.toThrow(
        expect.objectContaining({
          kind: "resource-exhausted",
          message: expect.stringContaining(`entry "zeros": ENOSPC`),
        }),
      );
    } finally {
      unmountAll(root);
    }
  });

  it("cancellation", async () => {
    let polls = 0;
    const canceled = apply(zeros, { isCanceled: () => ++polls > 3 });
    await expect(canceled).rejects.toThrow(expect.objectContaining({ kind: "canceled" }));
    expect(polls).toBe(4);
  });

  it("no descriptor stays open, whatever happens", async () => {
    const open = (): number => fs.readdirSync("/proc/self/fd").length;
    const before = open();
    await apply([{ path: "a/b/c" }, { path: "d/e" }], { lowers: [dir] });
    await expect(
      apply([
        { path: "a", data: "x" },
        { path: "b", type: "Z" },
      ]),
    ).rejects.toThrow();
    await expect(apply(tarBuffer([{ path: "a", data: "x".repeat(3000) }]).subarray(0, 2000))).rejects.toThrow();
    await expect(apply([], { root: join(dir, "none") })).rejects.toThrow(/ENOENT/);
    await expect(apply([], { lowers: [join(dir, "none")] })).rejects.toThrow(/ENOENT/);
    expect(open()).toBe(before);
  });
});
