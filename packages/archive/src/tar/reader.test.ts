import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ContainerdError } from "@ctrd/core/errors";
import { createRandom, tarBuffer } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TarEntry } from "./entry.ts";
import { TarReader } from "./reader.ts";

interface Seen {
  entry: TarEntry;
  content: Buffer;
}

/** Parses `tar`, given in chunks of `step` bytes. */
function read(tar: Buffer, step: number = tar.length): Seen[] {
  const seen: Seen[] = [];
  let content = Buffer.alloc(0);
  let current: TarEntry | undefined;
  const reader = new TarReader({
    begin(entry) {
      current = entry;
      // A hostile size must not fill the memory of the test.
      content = Buffer.alloc(Math.min(entry.size, 1 << 24));
    },
    data(bytes, position) {
      bytes.copy(content, position);
    },
    end() {
      if (current !== undefined) seen.push({ entry: current, content });
    },
  });
  for (let at = 0; at < tar.length; at += step) reader.push(tar.subarray(at, at + step));
  reader.finish();
  return seen;
}

const sha256 = (data: Buffer): string => createHash("sha256").update(data).digest("hex");

let dir: string;
const longName = `${"d".repeat(90)}/${"e".repeat(90)}/${"f".repeat(120)}`;
beforeAll(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "ctrd-tar-"));
  const tree = join(dir, "tree");
  fs.mkdirSync(join(tree, longName, ".."), { recursive: true });
  fs.writeFileSync(join(tree, longName), "long");
  fs.writeFileSync(join(tree, "plain"), "x".repeat(1000));
  fs.chownSync(join(tree, "plain"), 4_000_000, 3_000_000);
  fs.symlinkSync("t".repeat(200), join(tree, "symlink"));
  fs.linkSync(join(tree, "plain"), join(tree, "second"));
  fs.writeFileSync(join(tree, "nämé"), "");
  fs.writeFileSync(Buffer.concat([Buffer.from(`${tree}/raw-`), Buffer.of(0xff, 0xfe)]), "raw");
  const fd = fs.openSync(join(tree, "sparse"), "w");
  for (let run = 0; run < 60; run++) fs.writeSync(fd, `run ${run}`.repeat(100), run * 65_536 + 12_288);
  fs.ftruncateSync(fd, 60 * 65_536 + 5);
  fs.closeSync(fd);
});
afterAll(() => fs.rmSync(dir, { recursive: true }));

function gnuTar(...args: string[]): Buffer {
  return execFileSync("tar", ["-C", join(dir, "tree"), "-c", "--sort=name", ...args, "."], { maxBuffer: 1 << 26 });
}

describe("archives of GNU tar", () => {
  it.each([
    ["gnu", ["--format=gnu", "--sparse"]],
    ["oldgnu", ["--format=oldgnu", "--sparse"]],
    ["pax, sparse 0.0", ["--format=posix", "--sparse-version=0.0"]],
    ["pax, sparse 0.1", ["--format=posix", "--sparse-version=0.1"]],
    ["pax, sparse 1.0", ["--format=posix", "--sparse-version=1.0"]],
    ["pax, not sparse", ["--format=posix"]],
  ])("%s", (_, args) => {
    const tar = gnuTar(...args);
    const seen = new Map(read(tar).map((one) => [one.entry.name.replace(/^\.\/|\/$/g, ""), one]));
    expect(seen.get(longName)?.content.toString()).toBe("long");
    expect(seen.get("plain")?.entry).toMatchObject({ uid: 4_000_000, gid: 3_000_000, size: 1000, mode: 0o644 });
    expect(seen.get("second")?.entry).toMatchObject({ type: "link", linkName: "./plain", size: 0 });
    expect(seen.get("symlink")?.entry).toMatchObject({ type: "symlink", linkName: "t".repeat(200) });
    expect(seen.has(Buffer.from("nämé").toString("latin1"))).toBe(true);
    expect(seen.get("raw-\xff\xfe")?.content.toString()).toBe("raw");
    const sparse = seen.get("sparse");
    expect(sha256(sparse?.content ?? Buffer.of())).toBe(sha256(fs.readFileSync(join(dir, "tree", "sparse"))));
    const mtime = fs.statSync(join(dir, "tree", "plain"), { bigint: true }).mtimeNs;
    const time = seen.get("plain")?.entry.modifyTime ?? { seconds: 0, nanos: 0 };
    if (args[0] === "--format=posix") expect(BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanos)).toBe(mtime);
    else expect(time).toEqual({ seconds: Number(mtime / 1_000_000_000n), nanos: 0 });
  });

  it.each([1, 7, 511, 512, 513, 10_000])("are the same in chunks of %i bytes", (step) => {
    const tar = gnuTar("--format=posix", "--sparse-version=1.0");
    const digest = (seen: Seen[]): string[] =>
      seen.map(({ entry, content }) => JSON.stringify(entry) + sha256(content));
    expect(digest(read(tar, step))).toEqual(digest(read(tar)));
  });

  it("ustar's prefix and v7's directories", () => {
    fs.mkdirSync(join(dir, "v7", "sub"), { recursive: true });
    const make = (format: string): Buffer => execFileSync("tar", ["-C", dir, "-c", `--format=${format}`, "v7"]);
    expect(read(make("v7")).map(({ entry }) => [entry.name, entry.type])).toEqual([
      ["v7/", "directory"],
      ["v7/sub/", "directory"],
    ]);
    const name = `${"p".repeat(120)}/file`;
    fs.mkdirSync(join(dir, "ustar", "p".repeat(120)), { recursive: true });
    fs.writeFileSync(join(dir, "ustar", name), "");
    const ustar = execFileSync("tar", ["-C", join(dir, "ustar"), "-c", "--format=ustar", name]);
    expect(read(ustar)[0]?.entry.name).toBe(name);
  });
});

describe("PAX", () => {
  it("overrides fields, keeps xattrs as bytes, ignores global headers", () => {
    const value = Buffer.from([0, 1, 0xff, 0x0a, 0x3d]);
    const [global, ...others] = [
      tarBuffer([{ path: "g", type: "g", data: "16 uid=12345678\n" }]).subarray(0, 1024),
      tarBuffer([
        {
          path: "short",
          mtime: 5,
          data: "x",
          xattrs: { "user.a": value },
          pax: { mtime: "-1.5", atime: "99.123456789123", uid: "70000000", path: "other/name" },
        },
        { path: "next" },
      ]),
    ];
    const [first, next] = read(Buffer.concat([global, ...others]));
    expect(first?.entry).toMatchObject({
      name: "other/name",
      uid: 70_000_000,
      modifyTime: { seconds: -2, nanos: 500_000_000 },
      accessTime: { seconds: 99, nanos: 123_456_789 },
    });
    expect(first?.entry.xattrs.get("user.a")).toEqual(value);
    expect(next?.entry).toMatchObject({ name: "next", uid: 0, accessTime: undefined });
    expect(next?.entry.xattrs.size).toBe(0);
  });
});

describe("malformed archives", () => {
  const one = tarBuffer([{ path: "file", data: "x".repeat(1000) }]);
  const headerWith = (change: (header: Buffer) => void): Buffer => {
    const copy = Buffer.from(one);
    change(copy);
    copy.fill(0x20, 148, 156);
    const sum = copy.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    copy.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return copy;
  };
  const pax = (body: string): Buffer =>
    Buffer.concat([tarBuffer([{ path: "x", type: "x", data: body }]).subarray(0, 1024), one]);
  const sparse = (map: string): Buffer =>
    tarBuffer([{ path: "s", data: "x".repeat(512), pax: { "GNU.sparse.map": map, "GNU.sparse.size": "4096" } }]);

  it.each<[string, Buffer]>([
    ["in the middle of data", one.subarray(0, 700)],
    ["in the middle of a header", one.subarray(0, 300)],
    ["in the padding of an extended header", pax("11 uid=123\n").subarray(0, 600)],
    ["after an extended header", pax("11 uid=123\n").subarray(0, 1024)],
  ])("end %s", (_, tar) => {
    expect(() => read(tar)).toThrow("invalid layer archive: unexpected end of the tar stream: invalid argument");
  });

  it("end in the padding of the last file, as umoci writes them", () => {
    expect(read(one.subarray(0, 512 + 1005))).toEqual(read(one));
    expect(read(one.subarray(0, 512 + 1000))).toEqual(read(one));
  });

  it.each<[string, Buffer, RegExp]>([
    ["checksum", tarBuffer([{ path: "f", lieAboutChecksum: 1 }]), /checksum mismatch/],
    ["type", tarBuffer([{ path: "f", type: "Z" }]), /entry "f" has the unknown type "Z"/],
    ["size text", headerWith((header) => header.write("zzzz", 124)), /size is not an octal number/],
    ["negative size", headerWith((header) => header.fill(0xff, 124, 136)), /negative size/],
    ["huge size", headerWith((header) => header.fill(0x7f, 125, 136).fill(0x80, 124, 125)), /size is too large/],
    ["negative PAX size", pax("12 size=-12\n"), /negative size/],
    ["negative size of a sparse file", pax("26 GNU.sparse.realsize=-1\n"), /negative sparse size/],
    ["PAX length", pax("99 uid=1\n"), /malformed PAX record/],
    ["PAX without newline", pax("9 uid=123"), /malformed PAX record/],
    ["PAX number", pax("11 uid=1x3\n"), /uid "1x3" is not a decimal number/],
    ["PAX NUL", pax("12 path=a\0b\n"), /NUL in a name/],
    ["PAX time", pax("13 mtime=a.b\n"), /mtime "a.b" is not a time/],
    ["a zero block between entries", Buffer.concat([Buffer.alloc(512), one]), /single zero block/],
    ["sparse runs too short", sparse("0,100"), /different lengths/],
    ["sparse runs that overlap", sparse("0,256,100,256"), /overlap/],
    ["sparse runs beyond the end", sparse("4000,512"), /exceed/],
    ["an odd sparse map", sparse("0"), /malformed sparse map/],
  ])("%s", (_, tar, message) => {
    expect(() => read(tar)).toThrow(message);
  });

  it("an extended header that would fill the memory", () => {
    const tar = tarBuffer([{ path: "x", type: "x", lieAboutSize: 1 << 30 }]);
    expect(() => read(tar)).toThrow(/extended header of 1073741824 bytes is too large/);
  });

  it("a sparse map whose count never ends is parsed in linear time", () => {
    const data = Buffer.from(`500000\n${"1\n".repeat(400_000)}`);
    const records = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" };
    const tar = tarBuffer([{ path: "s", data, pax: records }]);
    const started = performance.now();
    expect(() => read(tar)).toThrow(/sparse map exceeds its entry/);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it("but an archive without its zero blocks, or empty, is complete", () => {
    expect(read(one.subarray(0, 512 + 1024))).toHaveLength(1);
    expect(read(Buffer.alloc(0))).toEqual([]);
    expect(read(Buffer.concat([one, Buffer.from("what follows is ignored")]))).toHaveLength(1);
  });

  it("mutated at random give entries or a ContainerdError, never another failure", () => {
    const random = createRandom(42);
    const seeds = [gnuTar("--format=gnu", "--sparse"), gnuTar("--format=posix", "--sparse-version=1.0")];
    let refused = 0;
    for (let round = 0; round < 600; round++) {
      const tar = Buffer.from((seeds[round % 2] as Buffer).subarray(0, 40_000));
      const changes = 1 + Math.floor(random() * 6);
      for (let change = 0; change < changes; change++) {
        // Mostly in the headers, which the first blocks are.
        const at = Math.floor(random() * (random() < 0.7 ? 8192 : tar.length));
        tar[at] = Math.floor(random() * 256);
        if (random() < 0.8) fixChecksum(tar, at - (at % 512));
      }
      try {
        read(tar, 1 + Math.floor(random() * 3000));
      } catch (error) {
        expect(error).toBeInstanceOf(ContainerdError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});

/** So that mutations get past the first check. */
function fixChecksum(tar: Buffer, start: number): void {
  const block = tar.subarray(start, start + 512);
  if (block.length < 512) return;
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
