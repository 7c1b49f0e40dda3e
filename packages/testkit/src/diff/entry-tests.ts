import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { BigIntStats } from "node:fs";
import { join } from "node:path";
import { lgetxattr } from "@ctrd/sys";
import { expect, it } from "vitest";
import type { TarEntry } from "../fixtures/tar-writer.ts";
import type { CurrentDiffBench } from "./suite.ts";

const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
const statOf = (root: string, path: string): BigIntStats => lstatSync(join(root, path), { bigint: true });

/** `path` as `ls -l` would show it: type, permission bits, owner. */
function shown(root: string, path: string): string {
  const stat = statOf(root, path);
  const kinds: [string, boolean][] = [
    ["file", stat.isFile()],
    ["directory", stat.isDirectory()],
    ["link", stat.isSymbolicLink()],
    ["char", stat.isCharacterDevice()],
    ["block", stat.isBlockDevice()],
    ["fifo", stat.isFIFO()],
  ];
  const kind = kinds.find(([, is]) => is)?.[0] ?? "?";
  return `${kind} ${(Number(stat.mode) & 0o7777).toString(8)} ${stat.uid}:${stat.gid}`;
}

/** Every kind of entry, with all that it carries. */
export function entryTests(current: CurrentDiffBench): void {
  it("makes every kind of file with its mode and owner", async () => {
    const root = await current().applied([
      { path: "dir/", type: "directory", mode: 0o1777, uid: 1, gid: 2 },
      { path: "setuid", mode: 0o6755, uid: 1000, gid: 1001, data: "x" },
      { path: "private", mode: 0o600, uid: 3_000_000, gid: 4_000_000 },
      { path: "none", mode: 0 },
      { path: "link", type: "symlink", linkname: "../any/where", uid: 5, gid: 6 },
      { path: "null", type: "char", mode: 0o666, devMajor: 1, devMinor: 3, uid: 7 },
      { path: "disk", type: "block", mode: 0o660, devMajor: 7, devMinor: 300, gid: 8 },
      { path: "fifo", type: "fifo", mode: 0o622 },
    ]);
    expect(readdirSync(root).map((path) => `${path}: ${shown(root, path)}`)).toEqual([
      "dir: directory 1777 1:2",
      "disk: block 660 0:8",
      "fifo: fifo 622 0:0",
      "link: link 777 5:6",
      "none: file 0 0:0",
      "null: char 666 7:0",
      "private: file 600 3000000:4000000",
      "setuid: file 6755 1000:1001",
    ]);
    expect(readlinkSync(join(root, "link"))).toBe("../any/where");
    const rdev = (path: string): bigint => statOf(root, path).rdev;
    expect([rdev("null"), rdev("disk")]).toEqual([
      (1n << 8n) | 3n,
      (7n << 8n) | (300n & 0xffn) | ((300n & ~0xffn) << 12n),
    ]);
  });

  it("keeps names as they are", async () => {
    const names = ["a b", "ü", "日本", "-x", "back\\slash", "new\nline", "x".repeat(255), `${"long/".repeat(60)}name`];
    const root = await current().applied(names.map((path) => ({ path, data: path })));
    for (const path of names) expect(readFileSync(join(root, path), "utf8")).toBe(path);
  });

  it("sets times last, to the nanosecond, also of directories and links", async () => {
    const pax = { mtime: "1234567890.123456789" };
    const root = await current().applied([
      { path: "dir/", type: "directory", pax },
      { path: "dir/file", data: "x", mtime: 5 },
      { path: "file", data: "x", pax },
      { path: "link", type: "symlink", linkname: "file", pax },
      { path: "epoch", mtime: 0 },
      { path: "dir/sub/late", data: "x" },
    ]);
    for (const path of ["dir", "file", "link"]) expect(statOf(root, path).mtimeNs).toBe(1_234_567_890_123_456_789n);
    expect([statOf(root, "dir/file").mtimeNs, statOf(root, "epoch").mtimeNs]).toEqual([5_000_000_000n, 0n]);
  });

  it("makes hard links, to files of the layer and to those that were there", async () => {
    const root = await current().applied([{ path: "old/file", data: "old" }]);
    await current().applied(
      [
        { path: "new/", type: "directory" },
        { path: "new/a", data: "new" },
        { path: "b", type: "hardlink", linkname: "new/a" },
        { path: "c", type: "hardlink", linkname: "/new/a" },
        { path: "d", type: "hardlink", linkname: "old/file" },
        { path: "e", type: "symlink", linkname: "nowhere" },
        { path: "f", type: "hardlink", linkname: "e" },
      ],
      root,
    );
    const inode = (path: string): bigint => statOf(root, path).ino;
    expect([inode("b"), inode("c")]).toEqual([inode("new/a"), inode("new/a")]);
    expect(inode("d")).toBe(inode("old/file"));
    expect([inode("f"), readlinkSync(join(root, "f"))]).toEqual([inode("e"), "nowhere"]);
    expect(statOf(root, "new/a").nlink).toBe(3n);
  });

  it("sets extended attributes, of files, directories and executables with capabilities", async () => {
    const xattrs = { "security.capability": capability, "user.x": "y=z\n", "user.bytes": Buffer.of(1, 255) };
    const root = await current().applied([
      { path: "file", data: "x", mode: 0o755, uid: 1000, xattrs },
      { path: "dir/", type: "directory", xattrs: { "user.d": "1" } },
    ]);
    for (const [name, value] of Object.entries(xattrs)) {
      expect(lgetxattr(join(root, "file"), name), name).toEqual(Buffer.from(value));
    }
    expect(lgetxattr(join(root, "dir"), "user.d")).toEqual(Buffer.from("1"));
  });

  it("takes no attributes from a layer that only administrators set", async () => {
    const root = await current().applied([
      { path: "dir/", type: "directory", xattrs: { "trusted.overlay.redirect": "/elsewhere", "user.d": "1" } },
      { path: "file", data: "x", xattrs: { "trusted.t": "1" } },
    ]);
    expect(lgetxattr(join(root, "dir"), "trusted.overlay.redirect")).toBeUndefined();
    expect(lgetxattr(join(root, "dir"), "user.d")).toEqual(Buffer.from("1"));
    expect(lgetxattr(join(root, "file"), "trusted.t")).toBeUndefined();
  });

  it("makes parents that the layer does not name with mode 0755", async () => {
    const root = await current().applied([{ path: "a/b/c", data: "x", mode: 0o600, uid: 9 }]);
    expect(["a", "a/b", "a/b/c"].map((path) => shown(root, path))).toEqual([
      "directory 755 0:0",
      "directory 755 0:0",
      "file 600 9:0",
    ]);
  });

  it("replaces what was there, but merges directories", async () => {
    const root = await current().applied([
      { path: "file-to-dir", data: "x" },
      { path: "dir-to-file/inner/file", data: "x" },
      { path: "dir-to-link/file", data: "x" },
      { path: "link-to-dir", type: "symlink", linkname: "merged" },
      { path: "merged/", type: "directory", mode: 0o755 },
      { path: "merged/old", data: "old" },
      { path: "file", data: "a longer text than the next", mode: 0o777 },
      { path: "linked", type: "hardlink", linkname: "file" },
    ]);
    const again: TarEntry[] = [
      { path: "file-to-dir/", type: "directory" },
      { path: "file-to-dir/new", data: "new" },
      { path: "dir-to-file", data: "file" },
      { path: "dir-to-link", type: "symlink", linkname: "merged" },
      { path: "link-to-dir/", type: "directory" },
      { path: "merged/", type: "directory", mode: 0o700, uid: 3 },
      { path: "merged/new", data: "new" },
      { path: "file", data: "short", mode: 0o600 },
    ];
    await current().applied(again, root);
    expect(readdirSync(join(root, "file-to-dir"))).toEqual(["new"]);
    expect(readFileSync(join(root, "dir-to-file"), "utf8")).toBe("file");
    expect(readlinkSync(join(root, "dir-to-link"))).toBe("merged");
    expect([shown(root, "link-to-dir"), shown(root, "merged")]).toEqual(["directory 755 0:0", "directory 700 3:0"]);
    expect(readdirSync(join(root, "merged"))).toEqual(["new", "old"]);
    expect([readFileSync(join(root, "file"), "utf8"), shown(root, "file")]).toEqual(["short", "file 600 0:0"]);
    // Another name of the old file is another file now.
    expect(readFileSync(join(root, "linked"), "utf8")).toBe("a longer text than the next");
    await current().applied(again, root);
    expect(readdirSync(join(root, "merged"))).toEqual(["new", "old"]);
  });

  it("passes over the root itself and global headers", async () => {
    const root = current().directory();
    const { mode } = lstatSync(root);
    await current().applied(
      [
        { path: "pax_global_header", type: "g", data: "52 comment=1234567890123456789012345678901234567890\n" },
        { path: "./", type: "directory", mode: 0o700, uid: 5 },
        { path: "./file", data: "x" },
      ],
      root,
    );
    expect(readdirSync(root)).toEqual(["file"]);
    expect(existsSync(join(root, "pax_global_header"))).toBe(false);
    expect([lstatSync(root).mode, lstatSync(root).uid]).toEqual([mode, 0]);
  });

  it("makes sparse files", async () => {
    const size = 8 << 20;
    // Format 1.0: the map is the first block of the data. Eight bytes at the start, eight before the end.
    const map = Buffer.alloc(512);
    map.write(`2\n0\n8\n${size - 8}\n8\n`);
    const pax = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": `${size}` };
    const root = await current().applied([
      {
        path: "GNUSparseFile.0/f",
        data: Buffer.concat([map, Buffer.from("beginingending..")]),
        pax: { ...pax, "GNU.sparse.name": "sparse" },
      },
    ]);
    const data = readFileSync(join(root, "sparse"));
    expect([data.length, data.toString("latin1", 0, 8), data.toString("latin1", size - 8)]).toEqual([
      size,
      "begining",
      "ending..",
    ]);
    expect(data.subarray(8, size - 8).every((byte) => byte === 0)).toBe(true);
  });
}
