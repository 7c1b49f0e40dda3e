import {
  closeSync,
  existsSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { mountAll, unmountAll } from "@ctrd/sys";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { copyTree, nativeConfig, openNativeSnapshotter } from "./index.ts";

const ctx = createContext({ namespace: "test" });
let directory: string;
let root: string;
let snapshotter: Snapshotter;

const snapshots = (...parts: string[]): string => join(root, "snapshots", ...parts);
const mode = (path: string): string => (statSync(path).mode & 0o7777).toString(8);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "native-test-"));
  root = join(directory, "io.containerd.snapshotter.v1.native");
  snapshotter = openNativeSnapshotter(root);
});

afterEach(async () => {
  await snapshotter.close();
  rmSync(directory, { recursive: true, force: true });
});

async function layer(name: string, parent: string, files: Record<string, string>): Promise<void> {
  const [mount] = await snapshotter.prepare(ctx, `${name} active`, parent);
  for (const [file, content] of Object.entries(files)) writeFileSync(join(mount?.source ?? "", file), content);
  await snapshotter.commit(ctx, name, `${name} active`);
}

describe("native snapshotter", () => {
  it("binds its own copy, or the parent for a view", async () => {
    await layer("base", "", { a: "1" });
    const bind = (id: string, access: string) => [
      { type: "bind", source: snapshots(id), target: "", options: ["rbind", access] },
    ];
    expect(await snapshotter.prepare(ctx, "active", "base")).toEqual(bind("2", "rw"));
    expect(await snapshotter.view(ctx, "view", "base")).toEqual(bind("1", "ro"));
    expect(await snapshotter.view(ctx, "empty", "")).toEqual(bind("4", "ro"));
    expect(readdirSync(snapshots()).toSorted()).toEqual(["1", "2", "4"]);
    expect([root, snapshots(), snapshots("1"), snapshots("4")].map(mode)).toEqual(["700", "700", "755", "755"]);
    await snapshotter.remove(ctx, "view");
    await snapshotter.remove(ctx, "active");
    expect(readdirSync(snapshots()).toSorted()).toEqual(["1", "4"]);
  });

  it("cleans up what a crash left, and does not reuse its ids", async () => {
    await snapshotter.close();
    for (const name of ["new-7", "rm-8", "9"]) mkdirSync(snapshots(name, "files"), { recursive: true });
    snapshotter = openNativeSnapshotter(root);
    await snapshotter.prepare(ctx, "a", "");
    await snapshotter.cleanup?.(ctx);
    expect(readdirSync(snapshots())).toEqual(["10"]);
  });

  it("leaves nothing of a copy that failed or was cancelled", async () => {
    await layer("base", "", Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`file-${i}`, "x".repeat(1000)])));
    const abort = new AbortController();
    const prepare = snapshotter.prepare({ ...ctx, signal: abort.signal }, "a", "base");
    abort.abort();
    await expect(prepare).rejects.toMatchObject({ kind: "canceled" });
    expect(readdirSync(snapshots())).toEqual(["1"]);
  });

  it("says when the disk is full, and works again after", async () => {
    await snapshotter.close();
    rmSync(root, { recursive: true });
    mkdirSync(root);
    mountAll([{ type: "tmpfs", source: "tmpfs", target: "", options: ["size=8m"] }], root);
    snapshotter = openNativeSnapshotter(root);
    try {
      await layer("base", "", { big: "x".repeat(3 << 20) });
      await snapshotter.prepare(ctx, "one", "base");
      await expect(snapshotter.prepare(ctx, "two", "base")).rejects.toMatchObject({
        kind: "resource-exhausted",
        message: expect.stringMatching(/create snapshot "two".*ENOSPC/),
      });
      expect(readdirSync(snapshots()).toSorted()).toEqual(["1", "2"]);
      await snapshotter.remove(ctx, "one");
      await snapshotter.prepare(ctx, "two", "base");
    } finally {
      await snapshotter.close();
      unmountAll(root);
    }
  });

  it("has containerd's configuration", async () => {
    expect(await nativeConfig.standard["~standard"].validate({})).toEqual({ value: { root_path: "" } });
    expect(nativeConfig.jsonSchema()).toMatchObject({ properties: { root_path: { default: "" } } });
  });
});

describe("copyTree", () => {
  it("copies holes as holes and long data whole", () => {
    const [source, target] = [join(directory, "source"), join(directory, "target")];
    mkdirSync(source);
    mkdirSync(target);
    const fd = openSync(join(source, "sparse"), "w");
    for (const [text, position] of [
      ["head", 0],
      ["middle", 5 << 20],
    ] as const)
      writeSync(fd, text, position);
    ftruncateSync(fd, 20 << 20);
    closeSync(fd);
    const long = Buffer.alloc((5 << 20) + 123, "0123456789abcdef");
    writeFileSync(join(source, "long"), long);
    copyTree(source, target);
    expect(readFileSync(join(target, "long")).equals(long)).toBe(true);
    expect(readFileSync(join(target, "sparse")).equals(readFileSync(join(source, "sparse")))).toBe(true);
    expect(statSync(join(target, "sparse")).blocks).toBe(statSync(join(source, "sparse")).blocks);
  });

  it("copies between filesystems, where nothing can be shared", () => {
    const target = join(directory, "tmpfs");
    mkdirSync(target);
    mountAll([{ type: "tmpfs", source: "tmpfs", target: "", options: ["size=32m"] }], target);
    try {
      const source = join(directory, "source");
      mkdirSync(join(source, "d"), { recursive: true });
      const long = Buffer.alloc((3 << 20) + 7, "xyz");
      writeFileSync(join(source, "d/long"), long, { mode: 0o640 });
      copyTree(source, target);
      expect(readFileSync(join(target, "d/long")).equals(long)).toBe(true);
      expect(lstatSync(join(target, "d/long")).mode & 0o777).toBe(0o640);
    } finally {
      unmountAll(target);
    }
  });

  it("does not follow links, and does not overwrite", () => {
    const [source, target] = [join(directory, "source"), join(directory, "target")];
    mkdirSync(source);
    mkdirSync(target);
    writeFileSync(join(source, "a"), "new");
    writeFileSync(join(target, "a"), "old");
    expect(() => copyTree(source, target)).toThrow(/EEXIST/);
    expect(readFileSync(join(target, "a"), "utf8")).toBe("old");
    expect(existsSync(join(target, "b"))).toBe(false);
  });
});
