import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, chownSync, linkSync, lstatSync, readdirSync, renameSync, rmSync } from "node:fs";
import { symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lsetxattr, makeDevice, mkfifo, mknod } from "@ctrd/sys";
import { expect, it } from "vitest";
import { createRandom } from "../fixtures/generated-files.ts";
import type { Compression } from "../fixtures/images.ts";
import { describeTree, makeDir, write } from "../snapshots/trees.ts";
import { bind, mediaTypes, overlay } from "./bench.ts";
import type { CurrentDiffBench, DifferSuiteOptions } from "./suite.ts";

const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");

/** A tree with a bit of everything that a layer keeps. */
function build(root: string): void {
  write(join(root, "etc/passwd"), "root\n");
  write(join(root, "etc/shadow"), "secret\n", 0o600);
  write(join(root, "bin/tool"), "#!/bin/sh\n", 0o755);
  chmodSync(join(root, "bin/tool"), 0o4755);
  lsetxattr(join(root, "bin/tool"), "security.capability", capability);
  write(join(root, "var/lib/a/b/c/deep"), "deep");
  write(join(root, "var/lib/a/other"), "other");
  write(join(root, "home/user/.profile"), "profile");
  chownSync(join(root, "home/user"), 1000, 1000);
  chownSync(join(root, "home/user/.profile"), 1000, 1000);
  symlinkSync("../etc/passwd", join(root, "bin/link"));
  linkSync(join(root, "etc/passwd"), join(root, "etc/passwd-"));
  makeDir(join(root, "tmp"), 0o1777);
  makeDir(join(root, "empty"), 0o700);
  mkfifo(join(root, "var/pipe"), 0o620);
  mknod(join(root, "null"), 0o020666, makeDevice(1, 3));
  write(join(root, "sparse"), "start");
  truncateSync(join(root, "sparse"), 3 << 20);
  write(join(root, "ü \n\\x"), "odd name");
}

/** Changes of every kind to {@link build}'s tree. */
function change(root: string): void {
  appendFileSync(join(root, "etc/shadow"), "more\n");
  chmodSync(join(root, "etc/shadow"), 0o640);
  rmSync(join(root, "etc/passwd-"));
  rmSync(join(root, "var/lib/a/b"), { recursive: true });
  write(join(root, "var/lib/a/b"), "a file instead of a directory");
  rmSync(join(root, "var/lib/a/other"));
  write(join(root, "var/lib/a/other/inside"), "a directory instead of a file");
  rmSync(join(root, "bin/link"));
  symlinkSync("elsewhere", join(root, "bin/link"));
  chownSync(join(root, "home/user"), 1001, 1001);
  rmSync(join(root, "empty"), { recursive: true });
  write(join(root, "new/one"), "one");
  linkSync(join(root, "new/one"), join(root, "new/two"));
  linkSync(join(root, "new/one"), join(root, "new/three"));
  rmSync(join(root, "null"));
  mknod(join(root, "null"), 0o020600, makeDevice(1, 5));
  renameSync(join(root, "sparse"), join(root, "moved"));
  write(join(root, "etc/.hidden"), "");
}

/** Random changes, the same for the same `seed`. */
function scramble(root: string, seed: number): void {
  const random = createRandom(seed);
  const pick = (list: readonly string[]): string => list[Math.floor(random() * list.length)] ?? "";
  for (let n = 0; n < 60; n++) {
    const all = readdirSync(root, { recursive: true }).map(String).sort();
    const path = join(root, pick(all));
    const isDirectory = lstatSync(path).isDirectory();
    switch (Math.floor(random() * 6)) {
      case 0:
        rmSync(path, { recursive: true });
        break;
      case 1:
        if (!lstatSync(path).isSymbolicLink()) chmodSync(path, 0o600 + Math.floor(random() * 0o177));
        break;
      case 2:
        if (lstatSync(path).isFile()) appendFileSync(path, `${n}`);
        break;
      case 3:
        if (lstatSync(path).isFile()) linkSync(path, `${path}.${n}`);
        break;
      default:
        writeFileSync(isDirectory ? join(path, `f${n}`) : `${path}.f${n}`, `${n}`);
    }
  }
}

const copy = (from: string, to: string): void => void execFileSync("cp", ["--archive", `${from}/.`, to]);

/** Applying to one tree what compare finds makes it the other. */
export function roundTripTests(current: CurrentDiffBench, options: DifferSuiteOptions): void {
  const trees = (alter: (root: string) => void): { lower: string; upper: string; target: string } => {
    const [lower, upper, target] = [current().directory("lower"), current().directory("upper"), current().directory()];
    build(lower);
    copy(lower, upper);
    copy(lower, target);
    alter(upper);
    return { lower, upper, target };
  };
  const expectEqual = (actual: string, expected: string): void =>
    expect(describeTree(actual)).toEqual(describeTree(expected));

  it.each(options.compressions ?? (["none", "gzip", "zstd"] as Compression[]))(
    "through a layer with compression %s",
    async (compression) => {
      const { differ, ctx } = current();
      const { lower, upper, target } = trees(change);
      const before = describeTree(upper, { times: true });
      const mediaType = mediaTypes[compression];
      const layer = await differ.compare(ctx, [bind(lower, "ro")], [bind(upper)], { mediaType });
      expect(describeTree(upper, { times: true }), "the tree that was compared").toEqual(before);
      await differ.apply(ctx, layer, [bind(target)]);
      expectEqual(target, upper);
    },
  );

  it("from nothing, and back to nothing", async () => {
    const { differ, ctx } = current();
    const { upper } = trees(change);
    const target = current().directory();
    await differ.apply(ctx, await differ.compare(ctx, [], [bind(upper)]), [bind(target)]);
    expectEqual(target, upper);
    const nothing = current().directory("nothing");
    await differ.apply(ctx, await differ.compare(ctx, [bind(upper)], [bind(nothing)]), [bind(target)]);
    expectEqual(target, nothing);
  });

  it.each([1, 2, 3, 4, 5])("after random changes %i", async (seed) => {
    const { differ, ctx } = current();
    const { lower, upper, target } = trees((root) => scramble(root, seed));
    await differ.apply(ctx, await differ.compare(ctx, [bind(lower)], [bind(upper)]), [bind(target)]);
    // A file may have got another name that the layer says nothing about: only contents are compared then.
    expect(describeTree(target, { linkCounts: false })).toEqual(describeTree(upper, { linkCounts: false }));
  });

  if (!(options.overlay ?? true)) return;
  it("from one overlay to another, also while it is mounted", async () => {
    const { differ, ctx } = current();
    const [bottom, top] = [current().directory("bottom"), current().directory("top")];
    build(bottom);
    write(join(top, "etc/passwd"), "from the upper layer\n");
    write(join(top, "opaque/file"), "x");
    const active = (): { mounts: ReturnType<typeof overlay>[]; merged: string } => {
      const upper = { directory: current().directory("upper"), work: current().directory("work") };
      const mounts = [overlay([top, bottom], upper)];
      return { mounts, merged: current().mount(mounts) };
    };
    const one = active();
    change(one.merged);
    rmSync(join(one.merged, "opaque"), { recursive: true });
    write(join(one.merged, "opaque/new"), "in place of what was there");
    const layer = await differ.compare(ctx, [overlay([top, bottom])], one.mounts);
    const [directory, work] = [current().directory("upper"), current().directory("work")];
    const target = [overlay([top, bottom], { directory, work })];
    await differ.apply(ctx, layer, target);
    expectEqual(current().mount(target), one.merged);
  });
}
