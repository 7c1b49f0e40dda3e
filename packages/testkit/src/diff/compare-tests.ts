import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { digestOf } from "@ctrd/core/digests";
import { lsetxattr, makeDevice, mkfifo, mknod } from "@ctrd/sys";
import { expect, it } from "vitest";
import { expectKind, expectSame } from "../expectations.ts";
import type { LayerEntry } from "./layer-entries.ts";
import { bind, compressionOf, mediaTypes } from "./bench.ts";
import type { CurrentDiffBench, DifferSuiteOptions } from "./suite.ts";

const uncompressed = "containerd.io/uncompressed";
const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");

/** Writes a file of the year 1970, with the directories above it. */
function put(root: string, path: string, data = "", seconds = 1000): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), data);
  utimesSync(join(root, path), seconds, seconds);
}

const named = (entries: readonly LayerEntry[]): string[] =>
  entries.map(({ path, type }) => `${type === "5" ? "dir" : type} ${path.replace(/\/$/, "")}`).sort();

/** The blob: media type, digest, labels, ingest. */
export function resultTests(current: CurrentDiffBench, options: DifferSuiteOptions): void {
  const compressions = options.compressions ?? (["none", "gzip", "zstd"] as const);
  it.each(compressions)("writes a layer with compression %s", async (compression) => {
    const upper = current().directory("upper");
    put(upper, "file", "data");
    const mediaType = mediaTypes[compression];
    const labels = new Map([["mine", "1"]]);
    const written = await current().compared([], [bind(upper)], { mediaType, labels });
    const { descriptor, blob, tar } = written;
    expectSame(descriptor, { mediaType, digest: digestOf(blob), size: BigInt(blob.length), annotations: new Map() });
    expect(compressionOf(blob)).toBe(compression);
    expect(Object.fromEntries(written.labels)).toEqual({
      mine: "1",
      ...(compression === "none" ? {} : { [uncompressed]: digestOf(tar) }),
    });
    expect(named(written.entries)).toEqual(["0 file"]);
    expect(await current().content.listStatuses(current().ctx, [])).toEqual([]);
  });

  it("writes OCI tar+gzip when nothing else is asked for", async () => {
    const { descriptor, blob } = await current().compared([], [bind(current().directory())], {});
    expect(descriptor.mediaType).toBe(mediaTypes.gzip);
    expect(compressionOf(blob)).toBe("gzip");
  });

  it.each([
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "text/plain",
  ])("leaves the media type %s to other differs", async (mediaType) => {
    const { differ, ctx, content } = current();
    await expectKind(differ.compare(ctx, [], [bind(current().directory())], { mediaType }), "not-implemented");
    expect(await content.listStatuses(ctx, [])).toEqual([]);
  });

  it("begins a given reference anew", async () => {
    const { content, ctx } = current();
    const upper = current().directory("upper");
    put(upper, "file", "data");
    const writer = await content.writer(ctx, { ref: "mine" });
    await writer.write(Buffer.from("left from an attempt before"));
    await writer.close();
    const written = await current().compared([], [bind(upper)], { mediaType: mediaTypes.none, reference: "mine" });
    expect(named(written.entries)).toEqual(["0 file"]);
    expect(await content.listStatuses(ctx, [])).toEqual([]);
  });

  it("succeeds when the blob is there already, and labels it", async () => {
    const upper = current().directory("upper");
    put(upper, "file", "data");
    const first = await current().compared([], [bind(upper)], {});
    const info = await current().content.info(current().ctx, first.descriptor.digest);
    await current().content.update(current().ctx, { ...info, labels: new Map() }, ["labels"]);
    const second = await current().compared([], [bind(upper)], {});
    expect(digestOf(second.tar)).toBe(digestOf(first.tar));
    expect(second.labels.get(uncompressed)).toBe(digestOf(second.tar));
    expect(await current().content.listStatuses(current().ctx, [])).toEqual([]);
  });
}

/** Which changes are seen. */
export function changeTests(current: CurrentDiffBench): void {
  const trees = (): { lower: string; upper: string; changes: () => Promise<string[]> } => {
    const [lower, upper] = [current().directory("lower"), current().directory("upper")];
    const changes = async (): Promise<string[]> =>
      named((await current().compared([bind(lower, "ro")], [bind(upper)])).entries);
    return { lower, upper, changes };
  };

  it("sees additions, changes and deletions, with the directories above them", async () => {
    const { lower, upper, changes } = trees();
    for (const root of [lower, upper]) {
      put(root, "same/file", "x");
      put(root, "a/b/changed", "one");
      put(root, "a/b/kept");
    }
    put(lower, "a/b/gone/deep/file");
    put(lower, "z-gone");
    put(upper, "a/b/changed", "two!");
    put(upper, "a/new/file");
    expect(await changes()).toEqual(
      ["dir a", "dir a/b", "0 a/b/changed", "0 a/b/.wh.gone", "dir a/new", "0 a/new/file", "0 .wh.z-gone"].sort(),
    );
  });

  it("sees nothing in equal trees, and everything when there is no lower one", async () => {
    const { lower, upper, changes } = trees();
    for (const root of [lower, upper]) put(root, "dir/file", "x");
    expect(await changes()).toEqual([]);
    expect(named((await current().compared([], [bind(upper)])).entries)).toEqual(["0 dir/file", "dir dir"]);
    expect(named((await current().compared([bind(lower)], [])).entries)).toEqual(["0 .wh.dir"]);
  });

  it.each<[string, (path: string) => void]>([
    ["mode", (path) => chmodSync(path, 0o4755)],
    ["owner", (path) => chownSync(path, 1, 0)],
    ["group", (path) => chownSync(path, 0, 1)],
    ["capabilities", (path) => lsetxattr(path, "security.capability", capability)],
    ["size", (path) => (writeFileSync(path, "longer"), utimesSync(path, 1000, 1000))],
    ["time", (path) => utimesSync(path, 1001, 1001)],
    ["content behind equal whole times", (path) => (writeFileSync(path, "yyyy"), utimesSync(path, 1000, 1000))],
  ])("sees a change of %s", async (_what, change) => {
    const { lower, upper, changes } = trees();
    for (const root of [lower, upper]) put(root, "file", "xxxx");
    change(join(upper, "file"));
    expect(await changes()).toEqual(["0 file"]);
  });

  it("sees changes between kinds of files", async () => {
    const { lower, upper, changes } = trees();
    put(lower, "dir-to-file/inner/x");
    put(upper, "dir-to-file", "file");
    put(lower, "file-to-dir");
    put(upper, "file-to-dir/inner");
    put(lower, "file-to-link", "to");
    symlinkSync("to", join(upper, "file-to-link"));
    for (const [root, target] of [
      [lower, "one"],
      [upper, "two"],
    ] as const) {
      symlinkSync(target, join(root, "link"));
      lutimesSync(join(root, "link"), 1000, 1000);
    }
    mknod(join(lower, "device"), 0o020666, makeDevice(1, 3));
    mknod(join(upper, "device"), 0o020666, makeDevice(1, 5));
    expect(await changes()).toEqual(
      ["0 dir-to-file", "dir file-to-dir", "0 file-to-dir/inner", "2 file-to-link", "2 link", "3 device"].sort(),
    );
  });

  it("sees a directory's own attributes", async () => {
    const { lower, upper, changes } = trees();
    for (const root of [lower, upper]) mkdirSync(join(root, "dir"));
    chmodSync(join(upper, "dir"), 0o711);
    expect(await changes()).toEqual(["dir dir"]);
  });

  it("sees new names of files", async () => {
    const { lower, upper, changes } = trees();
    for (const root of [lower, upper]) put(root, "one", "data");
    linkSync(join(upper, "one"), join(upper, "two"));
    // At least the new name, and what it is a link to.
    const seen = await changes();
    expect(seen.map((line) => line.slice(2)).sort()).toEqual(["one", "two"]);
    rmSync(join(upper, "one"));
    expect(await changes()).toEqual(["0 .wh.one", "0 two"]);
  });
}

/** What an entry carries, and what not. */
export function writtenEntryTests(current: CurrentDiffBench): void {
  it("carries mode, owner, whole seconds and capabilities, and nothing of this machine", async () => {
    const upper = current().directory("upper");
    put(upper, "file", "x", 1234.75);
    chmodSync(join(upper, "file"), 0o4750);
    chownSync(join(upper, "file"), 3_000_000, 42);
    chmodSync(join(upper, "file"), 0o4750);
    lsetxattr(join(upper, "file"), "security.capability", capability);
    lsetxattr(join(upper, "file"), "user.other", Buffer.from("left out"));
    const [file] = (await current().compared([], [bind(upper)])).entries;
    expect(file).toMatchObject({ uid: 3_000_000, gid: 42, mtime: 1234, userName: "", groupName: "" });
    expect((file?.mode ?? 0) & 0o7777).toBe(0o4750);
    const keys = [...(file?.pax.keys() ?? [])];
    expect(keys.filter((key) => key.startsWith("SCHILY."))).toEqual(["SCHILY.xattr.security.capability"]);
    expect(file?.pax.get("SCHILY.xattr.security.capability")).toBe(capability.toString("latin1"));
    expect(keys.filter((key) => ["atime", "ctime", "mtime"].includes(key))).toEqual([]);
  });

  it("writes links, devices and pipes, whiteouts without data, and no sockets", async () => {
    const [lower, upper] = [current().directory("lower"), current().directory("upper")];
    put(lower, "gone", "data");
    symlinkSync("some/target", join(upper, "link"));
    mkfifo(join(upper, "fifo"), 0o600);
    mknod(join(upper, "null"), 0o020666, makeDevice(1, 3));
    mknod(join(upper, "disk"), 0o060660, makeDevice(7, 300));
    mknod(join(upper, "socket"), 0o140777, 0);
    put(upper, "a", "data");
    linkSync(join(upper, "a"), join(upper, "b"));
    const { entries } = await current().compared([bind(lower, "ro")], [bind(upper)]);
    expect(named(entries)).toEqual(["0 .wh.gone", "0 a", "1 b", "2 link", "3 null", "4 disk", "6 fifo"].sort());
    const byPath = new Map(entries.map((entry) => [entry.path, entry]));
    expect(byPath.get(".wh.gone")).toMatchObject({ size: 0, mtime: 0 });
    expect(byPath.get("b")).toMatchObject({ linkname: "a", size: 0 });
    expect(byPath.get("link")?.linkname).toBe("some/target");
    expect([byPath.get("null")?.device, byPath.get("disk")?.device]).toEqual([
      [1, 3],
      [7, 300],
    ]);
  });

  it("caps times at the source date epoch", async () => {
    const upper = current().directory("upper");
    put(upper, "old", "x", 50);
    put(upper, "new", "x", 5000);
    const options = { mediaType: mediaTypes.none, sourceDateEpoch: { seconds: 77n, nanos: 0 } };
    const { entries } = await current().compared([], [bind(upper)], options);
    expect(entries.map(({ path, mtime }) => [path, mtime]).sort()).toEqual([
      ["new", 77],
      ["old", 50],
    ]);
  });
}
