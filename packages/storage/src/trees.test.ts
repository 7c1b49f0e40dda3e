import { execFileSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AT_FDCWD, close, mkdirat, mountAll, openat, OpenFlag, readMountInfo } from "@ctrd/sys";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { TaskPool, TreePool } from "./index.ts";

let directory: string;
let trees: TreePool;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "storage-trees-"));
  trees = new TreePool();
});

afterEach(async () => {
  await trees.close();
  rmSync(directory, { recursive: true, force: true });
});

function makeTree(root: string, files: number): void {
  mkdirSync(join(root, "sub"), { recursive: true });
  for (let i = 0; i < files; i++) writeFileSync(join(root, "sub", `file-${i}`), "x".repeat(i * 100));
  linkSync(join(root, "sub/file-0"), join(root, "hard"));
  symlinkSync("/", join(root, "symlink"));
  writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0xfe])]), "odd name");
}

const threads = (): number => readdirSync("/proc/self/task").length;

/** Threads, once those of the tests before have ended. */
async function settledThreads(): Promise<number> {
  let count = threads();
  for (let unchanged = 0; unchanged < 10;) {
    await sleep(20);
    const now = threads();
    unchanged = now === count ? unchanged + 1 : 0;
    count = now;
  }
  return count;
}

it.each([10, 1000])("measures a tree of %i files as du does", async (files) => {
  const root = join(directory, "tree");
  makeTree(root, files);
  const usage = await trees.diskUsage(root);
  const du = (...options: string[]): bigint =>
    BigInt(execFileSync("du", ["-s", ...options, root], { encoding: "utf8" }).split("\t")[0] ?? "");
  expect(usage.size).toBe(du("--block-size=512") * 512n);
  expect(usage.inodes).toBe(du("--inodes"));
});

it("removes trees without following links, and bears missing ones", async () => {
  const outside = join(directory, "outside");
  makeTree(outside, 3);
  const root = join(directory, "tree");
  makeTree(root, 100);
  symlinkSync(outside, join(root, "to-outside"));
  await trees.remove(root);
  await trees.remove(root);
  expect(existsSync(root)).toBe(false);
  expect(readdirSync(outside).length).toBeGreaterThan(3);
});

it("removes few small trees without a thread, larger and many ones with threads", async () => {
  const made = (name: string, files: number): string => {
    makeTree(join(directory, name), files);
    return join(directory, name);
  };
  const before = await settledThreads();
  await Promise.all(["a", "b", "c"].map((name) => trees.remove(made(name, 20))));
  expect(threads()).toBe(before);
  const names = Array.from({ length: 40 }, (_, i) => made(`many-${i}`, 2));
  await Promise.all(names.map((path) => trees.remove(path)));
  expect(threads()).toBeGreaterThan(before);
  await trees.remove(made("large", 600));
  expect(readdirSync(directory)).toEqual([]);
});

it("takes a tree of many links to one file for a large one", async () => {
  const root = join(directory, "tree");
  makeTree(root, 1);
  for (let i = 0; i < 600; i++) linkSync(join(root, "hard"), join(root, `hard-${i}`));
  const before = await settledThreads();
  expect((await trees.diskUsage(root)).inodes).toBe(5n);
  expect(threads()).toBeGreaterThan(before);
});

it("detaches mounts inside instead of deleting through them", async () => {
  const host = join(directory, "host");
  makeTree(host, 3);
  const root = join(directory, "tree");
  mkdirSync(join(root, "a/mnt"), { recursive: true });
  mountAll([{ type: "bind", source: host, target: "", options: ["rbind", "rw"] }], join(root, "a/mnt"));
  mountAll([{ type: "tmpfs", source: "tmpfs", target: "", options: [] }], join(root, "a/mnt/sub"));
  await trees.remove(root);
  expect(existsSync(root)).toBe(false);
  expect(readdirSync(join(host, "sub")).length).toBe(3);
  expect(readMountInfo().filter(({ mountPoint }) => mountPoint.startsWith(directory))).toEqual([]);
});

it("reports errors with their errno, and missing directories as such", async () => {
  await expect(trees.diskUsage(join(directory, "missing"))).rejects.toMatchObject({ code: "ENOENT" });
  await expect(trees.remove("/proc/self/fdinfo")).rejects.toMatchObject({ code: "EPERM" });
});

it("stops waiting on abort", async () => {
  const root = join(directory, "tree");
  makeTree(root, 600);
  const abort = new AbortController();
  const usage = trees.diskUsage(root, abort.signal);
  abort.abort();
  await expect(usage).rejects.toMatchObject({ kind: "canceled" });
  await expect(trees.diskUsage(root, abort.signal)).rejects.toMatchObject({ kind: "canceled" });
  expect((await trees.diskUsage(root)).inodes).toBe(604n);
});

it("ends idle threads and starts new ones", async () => {
  const module = new URL("./tree-worker.ts", import.meta.url);
  const pool = new TaskPool(module, { threads: 3, idleMillis: 50 });
  const before = await settledThreads();
  await Promise.all(Array.from({ length: 10 }, () => pool.run("diskUsage", directory)));
  expect(threads()).toBeGreaterThan(before);
  for (let i = 0; i < 100 && threads() > before; i++) await sleep(20);
  expect(threads()).toBe(before);
  expect(await pool.run("diskUsage", directory)).toMatchObject({ inodes: 1n });
  await expect(pool.run("nonsense", 1)).rejects.toThrow('no task "nonsense"');
  await pool.close();
});

it("rejects what runs when it is closed, and calls after", async () => {
  const root = join(directory, "tree");
  makeTree(root, 600);
  const usage = trees.diskUsage(root);
  const outcome = expect(usage).rejects.toMatchObject({ kind: "failed-precondition" });
  await trees.close();
  await outcome;
  await expect(trees.remove(root)).rejects.toMatchObject({ kind: "failed-precondition" });
  await trees.close();
});

it("rejects calls of a thread that cannot start, and goes on with a new one", async () => {
  const pool = new TaskPool(new URL("./missing-worker.ts", import.meta.url));
  await expect(pool.run("x", 1)).rejects.toThrow(/missing-worker/);
  await expect(pool.run("x", 1)).rejects.toThrow(/missing-worker/);
  await pool.close();
});

it("does not keep a thread for an argument that cannot be handed to it", async () => {
  const before = await settledThreads();
  const pool = new TaskPool(new URL("./tree-worker.ts", import.meta.url), { idleMillis: 50 });
  await expect(pool.run("removeTree", () => {})).rejects.toThrow(/could not be cloned/);
  await vi.waitFor(() => expect(threads()).toBe(before), { timeout: 5000 });
  await pool.close();
});

it("works in a program that was given on the command line", () => {
  makeTree(join(directory, "tree"), 600);
  const program = `
    import { TreePool } from ${JSON.stringify(new URL("./index.ts", import.meta.url).href)};
    const trees = new TreePool();
    await trees.remove(process.env.TREE);
    await trees.close();`;
  execFileSync(process.execPath, ["--conditions", "ctrd-source", "--input-type=module", "-e", program], {
    env: { ...process.env, NODE_OPTIONS: "", TREE: join(directory, "tree") },
  });
  expect(existsSync(join(directory, "tree"))).toBe(false);
});

it("removes what lies deeper than a path can name, as a container may leave it", async () => {
  const root = join(directory, "deep");
  mkdirSync(root);
  let fd = openat(AT_FDCWD, root, OpenFlag.Path | OpenFlag.Directory);
  for (let depth = 0; depth < 40; depth++) {
    mkdirat(fd, "d".repeat(200), 0o755);
    const inner = openat(fd, "d".repeat(200), OpenFlag.Path | OpenFlag.Directory);
    close(fd);
    fd = inner;
  }
  close(fd);
  await trees.remove(root);
  expect(existsSync(root)).toBe(false);
});
