import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { AT_FDCWD, lsetxattr, makeDevice, mkfifo, mknod, mount, unmountAll, utimensat } from "@ctrd/sys";
import { createRandom } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { applyLayer } from "../apply/apply-layer.ts";
import type { TarEntry } from "../tar/entry.ts";
import { TarReader } from "../tar/reader.ts";
import type { WriteDiffOptions, WrittenDiff } from "./write-diff.ts";
import { writeDiff } from "./write-diff.ts";

let dir: string;
let lower: string;
let upper: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "ctrd-diff-"));
  lower = join(dir, "lower");
  upper = join(dir, "upper");
  fs.mkdirSync(lower);
  fs.mkdirSync(upper);
});
afterEach(() => {
  for (const name of ["merged", "view"]) unmountAll(join(dir, name));
  fs.rmSync(dir, { recursive: true });
});

const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
const sha256 = (data: Buffer): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;

async function diff(options: Partial<WriteDiffOptions> = {}): Promise<WrittenDiff & { output: Buffer }> {
  const chunks: Buffer[] = [];
  const written = await writeDiff(
    { lower, upper, compression: "none", ...options },
    (chunk) => void chunks.push(chunk),
  );
  return { ...written, output: Buffer.concat(chunks) };
}

function entriesOf(tar: Buffer): TarEntry[] {
  const entries: TarEntry[] = [];
  const reader = new TarReader({ begin: (entry) => void entries.push(entry), data() {}, end() {} });
  reader.push(tar);
  reader.finish();
  return entries;
}

async function names(options: Partial<WriteDiffOptions> = {}): Promise<string[]> {
  return entriesOf((await diff(options)).output).map(({ name }) => name);
}

function put(root: string, path: string, data = "", seconds = 1000): void {
  fs.mkdirSync(join(root, path, ".."), { recursive: true });
  fs.writeFileSync(join(root, path), data);
  fs.utimesSync(join(root, path), seconds, seconds);
}

function isFifo(path: string): boolean {
  return fs.statSync(path, { throwIfNoEntry: false })?.isFIFO() ?? false;
}

/** A listing with all that a layer keeps. */
function listing(root: string): string {
  const format = "%P %y %m %U %G %s %l %n\\n";
  const files = execFileSync("find", [
    root,
    "-mindepth",
    "1",
    "!",
    "-type",
    "d",
    "-printf",
    `%Ts ${format}`,
  ]).toString();
  const directories = execFileSync("find", [
    root,
    "-mindepth",
    "1",
    "-type",
    "d",
    "-printf",
    "%P %m %U %G\\n",
  ]).toString();
  const contents = execFileSync("sh", ["-c", "find . -type f -exec sha256sum {} +"], { cwd: root }).toString();
  return [files, directories, contents]
    .flatMap((text) => text.split("\n"))
    .sort()
    .join("\n");
}

describe("changes", () => {
  it("are additions, modifications and deletions with their parents, in order", async () => {
    for (const root of [lower, upper]) {
      put(root, "same/file", "x");
      put(root, "a/b/changed", "one");
      put(root, "a/b/kept");
    }
    put(lower, "a/b/gone/deep/file");
    put(lower, "z-gone");
    put(upper, "a/b/changed", "two!");
    put(upper, "a/new/file");
    expect(await names()).toEqual(["a/", "a/b/", "a/b/changed", "a/b/.wh.gone", "a/new/", "a/new/file", ".wh.z-gone"]);
  });

  it("none make an empty archive", async () => {
    put(lower, "dir/file", "x");
    put(upper, "dir/file", "x");
    const { output, diffId, diffSize } = await diff();
    expect(output).toEqual(Buffer.alloc(1024));
    expect([diffId, diffSize]).toEqual([sha256(Buffer.alloc(1024)), 1024]);
  });

  it.each<[string, (path: string) => void]>([
    ["mode", (path) => fs.chmodSync(path, 0o4755)],
    ["owner", (path) => fs.chownSync(path, 1, 0)],
    ["group", (path) => fs.chownSync(path, 0, 1)],
    ["capabilities", (path) => lsetxattr(path, "security.capability", capability)],
    ["size", (path) => (fs.appendFileSync(path, "x"), fs.utimesSync(path, 1000, 1000))],
    ["time", (path) => fs.utimesSync(path, 1001, 1001)],
    ["content behind equal whole times", (path) => (fs.writeFileSync(path, "yyyy"), fs.utimesSync(path, 1000, 1000))],
    ["type", (path) => (fs.rmSync(path), fs.symlinkSync("xxxx", path))],
  ])("of %s are seen", async (_, change) => {
    put(lower, "file", "xxxx");
    put(upper, "file", "xxxx");
    change(join(upper, "file"));
    expect(await names()).toEqual(["file"]);
  });

  it("content is not compared when times have a fraction and are equal", async () => {
    const time = { seconds: 1000, nanos: 5 };
    for (const [root, data] of [
      [lower, "one"],
      [upper, "two"],
    ] as const) {
      put(root, "file", data);
      utimensat(AT_FDCWD, join(root, "file"), time, time);
    }
    expect(await names()).toEqual([]);
  });

  it("between types: a directory for a file and the reverse", async () => {
    put(lower, "dir-then-file/inner/x");
    put(upper, "dir-then-file", "file");
    put(lower, "file-then-dir");
    put(upper, "file-then-dir/inner");
    expect(await names()).toEqual(["dir-then-file", "file-then-dir/", "file-then-dir/inner"]);
  });

  it("of a directory's own attributes, not of its time", async () => {
    for (const root of [lower, upper]) {
      fs.mkdirSync(join(root, "mode"));
      fs.mkdirSync(join(root, "time"));
    }
    fs.chmodSync(join(upper, "mode"), 0o711);
    fs.utimesSync(join(upper, "time"), 5, 5);
    expect(await names()).toEqual(["mode/"]);
  });
});

describe("entries", () => {
  it("carry what a layer keeps and nothing else", async () => {
    put(upper, "caps", "x", 1234.75);
    lsetxattr(join(upper, "caps"), "security.capability", capability);
    lsetxattr(join(upper, "caps"), "user.other", Buffer.from("left out"));
    fs.symlinkSync("some/target", join(upper, "link"));
    mkfifo(join(upper, "fifo"), 0o600);
    mknod(join(upper, "null"), 0o020666, makeDevice(1, 3));
    const server = net.createServer().listen(join(upper, "socket"));
    put(lower, "gone");
    const entries = entriesOf((await diff()).output);
    server.close();
    expect(entries.map(({ name, type }) => `${name} ${type}`)).toEqual([
      "caps file",
      "fifo fifo",
      ".wh.gone file",
      "link symlink",
      "null char",
    ]);
    const [caps, , whiteout, link, device] = entries;
    expect([...(caps?.xattrs ?? [])]).toEqual([["security.capability", capability]]);
    expect(caps).toMatchObject({ modifyTime: { seconds: 1234, nanos: 0 }, accessTime: undefined, size: 1 });
    expect(whiteout).toMatchObject({ size: 0, modifyTime: { seconds: 0, nanos: 0 }, uid: 0 });
    expect(link?.linkName).toBe("some/target");
    expect(device).toMatchObject({ deviceMajor: 1, deviceMinor: 3 });
  });

  it("of hard links: the first name holds the data, unchanged names come along", async () => {
    for (const root of [lower, upper]) {
      put(root, "b", "data");
      fs.linkSync(join(root, "b"), join(root, "a"));
    }
    fs.linkSync(join(upper, "b"), join(upper, "c"));
    fs.linkSync(join(upper, "b"), join(upper, "d"));
    fs.chmodSync(join(upper, "c"), 0o600);
    put(upper, "x/first", "one");
    fs.linkSync(join(upper, "x/first"), join(upper, "x/second"));
    fs.rmSync(join(lower, "a"));
    put(lower, "a", "data", 2000);
    const entries = entriesOf((await diff()).output);
    expect(entries.map(({ name, type, linkName }) => [name, type, linkName])).toEqual([
      ["a", "file", ""],
      ["b", "link", "a"],
      ["c", "link", "a"],
      ["d", "link", "a"],
      ["x/", "directory", ""],
      ["x/first", "file", ""],
      ["x/second", "link", "x/first"],
    ]);
  });

  it("that follow an unchanged name of the same inode bring it along", async () => {
    for (const root of [lower, upper]) {
      put(root, "a", "data");
      fs.linkSync(join(root, "a"), join(root, "m"));
    }
    fs.linkSync(join(upper, "a"), join(upper, "new"));
    const entries = entriesOf((await diff()).output);
    expect(entries.map(({ name, type, linkName }) => [name, type, linkName])).toEqual([
      ["new", "file", ""],
      ["a", "link", "new"],
      ["m", "link", "new"],
    ]);
  });

  it("SOURCE_DATE_EPOCH caps times", async () => {
    put(upper, "early", "", 100);
    put(upper, "late", "", 5000);
    const entries = entriesOf((await diff({ latestTime: 1000 })).output);
    expect(entries.map(({ modifyTime }) => modifyTime.seconds)).toEqual([100, 1000]);
  });
});

describe("output", () => {
  const long = `${"l".repeat(180)}/${"m".repeat(200)}`;

  it("is read by GNU tar and by our own apply", async () => {
    put(upper, long, "long name");
    put(upper, `${"p".repeat(100)}/${"q".repeat(60)}`, "prefix");
    put(upper, "ünï", "utf");
    fs.writeFileSync(Buffer.concat([Buffer.from(`${upper}/raw-`), Buffer.of(0xff)]), "raw");
    fs.symlinkSync("t".repeat(150), join(upper, "link"));
    put(upper, "owned", "x");
    fs.chownSync(join(upper, "owned"), 3_000_000, 4_000_000);
    put(upper, "old", "x");
    // Node's own utimes takes a negative time for "now".
    utimensat(AT_FDCWD, join(upper, "old"), { seconds: -100, nanos: 0 }, { seconds: -100, nanos: 0 });
    mknod(join(upper, "device"), 0o020600, makeDevice(259, 70_000));
    const { output } = await diff();
    const out = join(dir, "out");
    fs.mkdirSync(out);
    execFileSync("tar", ["-x", "-C", out, "--numeric-owner"], { input: output });
    expect(listing(out)).toBe(listing(upper));
    const again = join(dir, "again");
    fs.mkdirSync(again);
    fs.writeFileSync(join(dir, "tar"), output);
    await applyLayer({ path: join(dir, "tar"), root: again });
    fs.utimesSync(join(upper, "old"), 0, 0);
    expect(listing(again)).toBe(listing(upper));
  });

  it("is unpacked by umoci", async () => {
    put(upper, "dir/file", "x");
    put(upper, long, "long name");
    fs.linkSync(join(upper, "dir/file"), join(upper, "dir/link"));
    const layer = join(dir, "layer.tar");
    fs.writeFileSync(layer, (await diff()).output);
    const umoci = (...args: string[]): Buffer => execFileSync("umoci", args, { cwd: dir, stdio: "pipe" });
    umoci("init", "--layout", "image");
    umoci("new", "--image", "image:x");
    umoci("raw", "add-layer", "--image", "image:x", layer);
    umoci("unpack", "--image", "image:x", "bundle");
    expect(listing(join(dir, "bundle", "rootfs"))).toBe(listing(upper));
    put(lower, "gone");
    put(lower, "dir/kept");
    fs.writeFileSync(layer, (await diff({ lower: upper, upper: lower })).output);
    umoci("raw", "add-layer", "--image", "image:x", layer);
    umoci("unpack", "--image", "image:x", "second");
    expect(listing(join(dir, "second", "rootfs"))).toBe(listing(lower));
  });

  it.each([
    ["gzip", gunzipSync],
    ["zstd", zstdDecompressSync],
  ] as const)("is compressed with %s", async (compression, decompress) => {
    const random = createRandom(3);
    put(upper, "big", Array.from({ length: 600_000 }, () => random()).join(" "));
    const plain = await diff();
    const compressed = await diff({ compression });
    expect(sha256(decompress(compressed.output))).toBe(plain.diffId);
    expect(compressed).toMatchObject({ diffId: sha256(plain.output), diffSize: plain.output.length });
    expect(compressed.output.length).toBeLessThan(plain.output.length);
  });

  it.each(["none", "gzip"] as const)("fails with its sink, %s", async (compression) => {
    put(upper, "big", "x".repeat(8 << 20));
    const failed = writeDiff({ lower, upper, compression }, () => Promise.reject(new Error("sink is full")));
    await expect(failed).rejects.toThrow("sink is full");
  });

  it("stops when canceled", async () => {
    put(upper, "a/b/c");
    await expect(diff({ isCanceled: () => true })).rejects.toThrow(expect.objectContaining({ kind: "canceled" }));
  });
});

describe("round trip", () => {
  it("of random trees: lower plus difference is upper", async () => {
    const random = createRandom(11);
    const below = (limit: number): number => Math.floor(random() * limit);
    const grow = (root: string, count: number): void => {
      for (let made = 0; made < count; made++) {
        const path = join(root, ...Array.from({ length: 1 + below(4) }, () => `n${below(5)}`));
        try {
          fs.mkdirSync(join(path, ".."), { recursive: true });
          const kind = below(8);
          if (kind === 0) fs.rmSync(path, { recursive: true, force: true });
          else if (kind === 1) fs.symlinkSync(`t${below(3)}`, path);
          else if (kind === 2) fs.linkSync(join(root, `n${below(5)}`), path);
          else if (kind === 3) mkfifo(path, 0o600 + below(64));
          else if (kind === 4) fs.lchownSync(path, below(3), below(3));
          else if (kind === 5 && !fs.lstatSync(path).isSymbolicLink()) fs.chmodSync(path, 0o700 + below(64));
          // Writing to a fifo would wait for a reader.
          else if (!isFifo(path)) put(root, path.slice(root.length), "x".repeat(below(50)), 1000 + below(5));
        } catch (error) {
          if (!/EEXIST|ENOTDIR|ENOENT|EISDIR|EPERM|ELOOP|EMLINK|ENXIO/.test(String(error))) throw error;
        }
      }
    };
    for (let round = 0; round < 25; round++) {
      for (const root of [lower, upper]) {
        fs.rmSync(root, { recursive: true });
        fs.mkdirSync(root);
      }
      grow(lower, 60);
      execFileSync("cp", ["-a", `${lower}/.`, upper]);
      grow(upper, 40);
      const { output } = await diff({ compression: "zstd" });
      fs.writeFileSync(join(dir, "layer"), output);
      await applyLayer({ path: join(dir, "layer"), root: lower });
      expect(listing(lower)).toBe(listing(upper));
    }
  });
});

describe("overlay", () => {
  function overlay(target: string, ...options: string[]): void {
    fs.mkdirSync(join(dir, target), { recursive: true });
    mount("overlay", join(dir, target), "overlay", 0, options.join(","));
  }

  it("guided by its upper directory is the same as comparing whole trees, and looks at nothing else", async () => {
    const base = join(dir, "base");
    for (const path of [
      "kept/file",
      "dir/gone",
      "dir/kept",
      "opaque/old/x",
      "opaque/same",
      "chmod",
      "copied-up",
      "hard/a",
    ]) {
      put(base, path, path);
    }
    put(lower, "dir/near", "near");
    put(lower, "removed/tree/file");
    const merged = join(dir, "merged");
    fs.mkdirSync(join(dir, "work"));
    overlay("merged", `lowerdir=${lower}:${base}`, `upperdir=${upper}`, `workdir=${dir}/work`);
    fs.rmSync(join(merged, "dir/gone"));
    fs.rmSync(join(merged, "removed"), { recursive: true });
    fs.rmSync(join(merged, "opaque"), { recursive: true });
    put(merged, "opaque/same", "opaque/same");
    put(merged, "opaque/new", "new");
    put(merged, "fresh/dir/file", "x");
    fs.chmodSync(join(merged, "chmod"), 0o600);
    // Copied up without a change.
    fs.closeSync(fs.openSync(join(merged, "copied-up"), "r+"));
    fs.linkSync(join(merged, "hard/a"), join(merged, "hard/b"));
    fs.mkdirSync(join(merged, "temporary"));
    fs.rmdirSync(join(merged, "temporary"));
    overlay("view", `lowerdir=${lower}:${base}`);
    const trees = { lower: join(dir, "view"), upper: merged };
    const whole = await diff(trees);
    expect(entriesOf(whole.output).map(({ name }) => name)).toEqual([
      "chmod",
      "dir/",
      "dir/.wh.gone",
      "fresh/",
      "fresh/dir/",
      "fresh/dir/file",
      "hard/",
      "hard/b",
      "hard/a",
      "opaque/",
      "opaque/new",
      "opaque/.wh.old",
      ".wh.removed",
    ]);
    const guided = await diff({ ...trees, guide: upper });
    expect(guided.diffId).toBe(whole.diffId);
    // A change that the guide does not name is not seen: so the rest really is not looked at.
    expect((await diff({ lower: join(dir, "work"), upper: merged, guide: upper })).diffSize).toBeLessThan(
      (await diff({ lower: join(dir, "work"), upper: merged })).diffSize,
    );
    fs.writeFileSync(join(dir, "layer"), guided.output);
    const again = join(dir, "again");
    execFileSync("cp", ["-a", join(dir, "view"), again]);
    await applyLayer({ path: join(dir, "layer"), root: again });
    expect(listing(again)).toBe(listing(merged));
  });
});
