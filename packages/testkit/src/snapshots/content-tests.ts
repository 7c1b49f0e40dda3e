import {
  chmodSync,
  chownSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { AT_FDCWD, lgetxattr, lsetxattr, makeDevice, mkfifo, mknod, utimensat } from "@ctrd/sys";
import { expect, it } from "vitest";
import type { CurrentBench, SnapshotterSuiteOptions } from "./suite.ts";
import { describeTree, remove, write } from "./trees.ts";

/** `security.capability` of a file that may bind low ports: revision 2, effective, `CAP_NET_BIND_SERVICE`. */
const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");

/** One of everything that a layer may hold. */
function makeEverything(directory: string): void {
  const path = (name: string): string => join(directory, name);
  write(path("plain"), "content");
  write(path("setuid"), "x", 0o4755);
  chownSync(path("setuid"), 1234, 4321);
  chmodSync(path("setuid"), 0o6755);
  mkdirSync(path("sticky"));
  chmodSync(path("sticky"), 0o1777);
  linkSync(path("plain"), path("sticky/hard"));
  symlinkSync("plain", path("symlink"));
  symlinkSync("/nowhere/at all", path("dangling"));
  lchownSync(path("dangling"), 5, 6);
  mkfifo(path("fifo"), 0o600);
  mknod(path("null"), 0o020666, makeDevice(1, 3));
  mknod(path("loop"), 0o060660, makeDevice(7, 0));
  mknod(path("large numbers"), 0o060600, makeDevice(0xabc, 0x12345));
  write(path("caps"), "x", 0o755);
  lsetxattr(path("caps"), "security.capability", capability);
  lsetxattr(path("plain"), "user.colour", Buffer.from("green"));
  lsetxattr(path("sticky"), "user.empty", Buffer.alloc(0));
  write(path("é😀 \n"), "odd name");
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/latin-`), Buffer.from([0xe9, 0xff])]), "not UTF-8");
  write(path("n".repeat(255)), "long name");
  writeSparse(path("sparse"));
  setTimes(Buffer.from(directory));
}

/** Gives everything below `directory` a time of its own: before the epoch, with fractions, for links too. */
function setTimes(directory: Buffer): void {
  const names = readdirSync(directory, { encoding: "buffer" }).sort((a, b) => Buffer.compare(a, b));
  for (const [index, name] of names.entries()) {
    const path = Buffer.concat([directory, Buffer.from("/"), name]);
    if (lstatSync(path).isDirectory()) setTimes(path);
    const seconds = index % 3 === 0 ? -2_000_000 - index : 1_234_567_890 + index;
    utimensat(AT_FDCWD, path, { seconds: 1_000_000_000, nanos: 0 }, { seconds, nanos: 500_000_000 });
  }
}

function writeSparse(path: string): void {
  const fd = openSync(path, "w", 0o600);
  writeSync(fd, "start", 0);
  writeSync(fd, "end", 8 << 20);
  closeSync(fd);
}

/** What a layer may hold, and what changes of owner and mode do to it. */
export function contentTests(current: CurrentBench, options: SnapshotterSuiteOptions): void {
  const linkCounts = options.linkCounts ?? true;

  it("keeps every kind of file with all that belongs to it", async () => {
    const flat = current().directory();
    makeEverything(flat);
    const expected = describeTree(flat, { times: true, linkCounts }).slice(1);
    const look = (directory: string): void => {
      expect(describeTree(directory, { times: true, linkCounts }).slice(1)).toEqual(expected);
      expect(lgetxattr(join(directory, "caps"), "security.capability")?.equals(capability)).toBe(true);
      expect(statSync(join(directory, "sparse")).blocks * 512).toBeLessThan(1 << 20);
    };
    await current().layer("base", "", makeEverything);
    await current().view("base", look);
    await current().layer("top", "base");
    await current().view("top", look);
    const { snapshotter, ctx } = current();
    await current().mounted(await snapshotter.prepare(ctx, "active", "top"), look);
  });

  it("keeps names of one file together", async () => {
    await current().layer("base", "", (directory) => {
      write(join(directory, "a/one"), "x");
      mkdirSync(join(directory, "b"));
      linkSync(join(directory, "a/one"), join(directory, "b/two"));
      linkSync(join(directory, "a/one"), join(directory, "three"));
    });
    await current().layer("top", "base", (directory) => write(join(directory, "other"), "y"));
    await current().view("top", (directory) => {
      const stats = ["a/one", "b/two", "three"].map((name) => lstatSync(join(directory, name)));
      if (linkCounts) expect(stats.map((stat) => stat.nlink)).toEqual([3, 3, 3]);
      expect(new Set(stats.map((stat) => stat.ino)).size).toBe(1);
    });
  });

  it("links to a file of a lower layer", async () => {
    await current().layer("base", "", (directory) => write(join(directory, "dir2/f2"), "..."));
    await current().layer("top", "base", (directory) => {
      mkdirSync(join(directory, "dir3"));
      linkSync(join(directory, "dir2/f2"), join(directory, "dir3/f2"));
      remove(join(directory, "dir2/f2"));
    });
    await current().view("top", (directory) => {
      expect(
        describeTree(directory)
          .slice(1)
          .map((line) => line.split(" ", 2).join(" ")),
      ).toEqual(["/dir2 dir", "/dir3 dir", "/dir3/f2 file"]);
      expect(readFileSync(join(directory, "dir3/f2"), "utf8")).toBe("...");
    });
  });

  it("changes owners and modes of files of a lower layer, not their content", async () => {
    await current().layer("base", "", (directory) => {
      for (const name of ["opt/a", "opt/sub/b"]) write(join(directory, name), name);
    });
    await current().layer("top", "base", (directory) => {
      chownSync(join(directory, "opt"), 1, 1);
      chownSync(join(directory, "opt/a"), 2, 3);
      chmodSync(join(directory, "opt/sub"), 0o711);
      chmodSync(join(directory, "opt/sub/b"), 0o400);
    });
    const seen = await current().view("top", (directory) =>
      ["opt", "opt/a", "opt/sub", "opt/sub/b"].map((name) => {
        const { uid, gid, mode } = statSync(join(directory, name));
        return `${name} ${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
      }),
    );
    expect(seen).toEqual(["opt 1:1 755", "opt/a 2:3 644", "opt/sub 0:0 711", "opt/sub/b 0:0 400"]);
    await current().view("top", (directory) => {
      for (const name of ["opt/a", "opt/sub/b"]) expect(readFileSync(join(directory, name), "utf8")).toBe(name);
    });
    await current().view("base", (directory) => {
      expect(statSync(join(directory, "opt"))).toMatchObject({ uid: 0, gid: 0 });
      expect(statSync(join(directory, "opt/sub/b")).mode & 0o777).toBe(0o644);
    });
  });

  it("keeps owner and mode of the root directory in the layers above", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "", (directory) => {
      chownSync(directory, 10, 20);
      write(join(directory, "file"), "1");
    });
    const owner = (directory: string): number[] => [statSync(directory).uid, statSync(directory).gid];
    expect(await current().view("base", owner)).toEqual([10, 20]);
    expect(await current().mounted(await snapshotter.prepare(ctx, "active", "base"), owner)).toEqual([10, 20]);
    await current().layer("top", "base", (directory) => write(join(directory, "more"), "2"));
    expect(await current().view("top", owner)).toEqual([10, 20]);
  });
}
