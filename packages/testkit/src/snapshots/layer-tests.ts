import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { CurrentBench, SnapshotterSuiteOptions } from "./suite.ts";
import { describeTree, makeDir, move, remove, write } from "./trees.ts";
import { testWhen } from "../test-when.ts";

type Change = (directory: string) => void;

/**
 * Makes a layer of each change on a chain, and the same changes on a plain directory: they must look alike before the
 * change of each layer, after it, and in a view of the committed layer.
 */
async function expectLikePlain(current: CurrentBench, changes: readonly Change[]): Promise<void> {
  const bench = current();
  const flat = bench.directory("flat");
  let parent = "";
  for (const [index, change] of changes.entries()) {
    const key = `active ${index}`;
    await bench.mounted(await bench.snapshotter.prepare(bench.ctx, key, parent), (directory) => {
      expect(describeTree(directory), `before change ${index}`).toEqual(describeTree(flat));
      change(flat);
      change(directory);
      expect(describeTree(directory), `after change ${index}`).toEqual(describeTree(flat));
    });
    parent = `layer ${index}`;
    await bench.snapshotter.commit(bench.ctx, parent, key);
    await bench.view(parent, (directory) => {
      expect(describeTree(directory), `view of layer ${index}`).toEqual(describeTree(flat));
    });
  }
}

/** Changes over several layers: what is deleted, replaced and moved. */
export function layerTests(current: CurrentBench, options: SnapshotterSuiteOptions): void {
  const at =
    (path: string, change: (path: string) => void): Change =>
    (directory) =>
      change(join(directory, path));
  const all =
    (...changes: Change[]): Change =>
    (directory) =>
      changes.forEach((change) => change(directory));
  const file = (path: string, content: string, mode?: number): Change => at(path, (p) => write(p, content, mode));
  const dir = (path: string, mode?: number): Change => at(path, (p) => makeDir(p, mode));
  const gone = (path: string): Change => at(path, remove);
  const moved =
    (from: string, to: string): Change =>
    (directory) =>
      move(join(directory, from), join(directory, to));
  const link = (target: string, path: string): Change => at(path, (p) => symlinkSync(target, p));

  it("updates files", () =>
    expectLikePlain(current, [
      all(file("foo", "foo\n", 0o700), file("etc/hosts", "mydomain 10.0.0.1")),
      all(file("foo", "bar"), file("etc/hosts", "mydomain 10.0.0.120"), file("etc/resolv", "x")),
      all(
        file("foo", ""),
        at("etc/hosts", (p) => writeFileSync(p, " more", { flag: "a" })),
      ),
    ]));

  it("deletes files of lower layers", () =>
    expectLikePlain(current, [
      all(file("foo", "1"), file("bar", "2"), file("sub/baz", "3")),
      all(gone("foo"), gone("sub/baz")),
      all(gone("bar")),
      () => {},
    ]));

  it("deletes and makes again files and directories", () =>
    expectLikePlain(current, [
      all(file("d/one", "1"), file("d/sub/two", "2"), file("f", "3")),
      all(gone("d"), gone("f")),
      all(file("d/three", "3"), file("f", "again")),
      all(gone("d"), dir("d", 0o700), file("d/four", "4")),
      all(gone("d"), file("d/sub/five", "5")),
    ]));

  it("replaces a directory within one layer by one of the same name", () =>
    expectLikePlain(current, [
      all(file("d/old/file", "1"), file("d/kept", "2")),
      all(gone("d"), dir("d"), file("d/new", "3")),
      all(file("d/newer", "4"), gone("d/new")),
    ]));

  it("replaces files by directories, directories by files, both by links", () =>
    expectLikePlain(current, [
      all(file("a", "1"), file("b/inside", "2"), file("c", "3"), link("c", "l"), file("e/x", "1")),
      all(gone("a"), file("a/inside", "4"), gone("b"), file("b", "5"), gone("c"), link("/nowhere", "c")),
      all(gone("a"), link("b", "a"), gone("l"), file("l", "plain"), gone("e"), link("b", "e")),
      all(gone("e"), dir("e"), file("e/y", "2")),
    ]));

  it("moves files and directories of lower layers", () =>
    expectLikePlain(current, [
      all(file("dir1/f1", "Hello"), file("dir2/f2", "..."), dir("empty"), file("top", "t")),
      all(moved("dir1/f1", "dir2/f1"), moved("top", "dir1/top")),
      all(moved("dir2", "dir3"), moved("empty", "dir1/empty")),
      all(moved("dir3/f1", "dir3/f0"), moved("dir1", "dir2")),
    ]));

  it("writes through a directory that came with another mode", () =>
    expectLikePlain(current, [
      all(dir("d", 0o700), dir("d/e", 0o1777), file("d/e/f", "1", 0o4755)),
      all(file("d/e/g", "2"), dir("d/e/h", 0o2750)),
      all(gone("d/e/f"), file("d/e/h/i", "3")),
    ]));

  it("keeps siblings and the parent apart", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "", file("shared", "base"));
    const one = current().mount(await snapshotter.prepare(ctx, "one", "base"));
    const two = current().mount(await snapshotter.prepare(ctx, "two", "base"));
    write(join(one, "shared"), "one");
    write(join(one, "mine"), "one");
    remove(join(two, "shared"));
    expect(readFileSync(join(one, "shared"), "utf8")).toBe("one");
    expect(readdirSync(two)).toEqual([]);
    await current().view("base", (directory) => {
      expect(readdirSync(directory)).toEqual(["shared"]);
      expect(readFileSync(join(directory, "shared"), "utf8")).toBe("base");
    });
    current().unmount(one);
    await snapshotter.commit(ctx, "upper", "one");
    await current().view("base", (directory) => expect(readFileSync(join(directory, "shared"), "utf8")).toBe("base"));
  });

  it("gives a snapshot without parent an empty root of mode 0755", async () => {
    process.umask(0o077);
    const { snapshotter, ctx } = current();
    const mounts = [await snapshotter.prepare(ctx, "active", ""), await snapshotter.view(ctx, "view", "")];
    for (const each of mounts) {
      await current().mounted(each, (directory) => {
        expect(readdirSync(directory)).toEqual([]);
        expect(lstatSync(directory).mode & 0o7777).toBe(options.rootMode ?? 0o755);
        expect(lstatSync(directory)).toMatchObject({ uid: 0, gid: 0 });
      });
    }
  });

  testWhen(options.rebase === true)("rebases: a layer made without parent looks as if made on it", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "", all(file("base", "1"), file("d/lower", "2")));
    await current().active("layer", "", all(file("own", "3"), file("d/upper", "4")));
    await snapshotter.commit(ctx, "top", "layer", { parent: "base" });
    expect((await snapshotter.stat(ctx, "top")).parent).toBe("base");
    await current().view("top", (directory) => {
      expect(readdirSync(directory).toSorted()).toEqual(["base", "d", "own"]);
      expect(readdirSync(join(directory, "d")).toSorted()).toEqual(["lower", "upper"]);
    });
    await expect(snapshotter.remove(ctx, "base")).rejects.toMatchObject({ kind: "failed-precondition" });
    await current().layer("next", "top", gone("d/lower"));
    await current().view("next", (directory) => {
      expect(existsSync(join(directory, "d/lower"))).toBe(false);
      expect(existsSync(join(directory, "d/upper"))).toBe(true);
    });
  });

  it("mounts one committed snapshot many times at once", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "", file("a", "1"));
    await current().layer("top", "base", (directory) => mkdirSync(join(directory, "d")));
    for (let i = 0; i < 5; i++) {
      const active = current().mount(await snapshotter.prepare(ctx, `active ${i}`, "top"));
      const view = current().mount(await snapshotter.view(ctx, `view ${i}`, "top"));
      write(join(active, "d", String(i)), "x");
      expect(readdirSync(join(active, "d"))).toEqual([String(i)]);
      expect(readdirSync(join(view, "d"))).toEqual([]);
    }
  });
}
