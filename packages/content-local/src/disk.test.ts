import { readdirSync } from "node:fs";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContentWriter } from "@ctrd/core/content";
import { createContext } from "@ctrd/core/context";
import { digestOf } from "@ctrd/core/digests";
import { kindOf } from "@ctrd/core/errors";
import { mustRun, randomBytesOf, startContainerd, tempDir } from "@ctrd/testkit/fixtures";
import { describe, expect, test } from "vitest";
import type { LocalContentStore } from "./index.ts";
import { openContentStore } from "./index.ts";

const ctx = createContext();
const ingestDirectory = (root: string, ref: string): string =>
  join(root, "ingest", createHash("sha256").update(ref).digest("hex"));

async function put(store: LocalContentStore, ref: string, data: Uint8Array): Promise<string> {
  const writer = await store.writer(ctx, { ref });
  await writer.write(data);
  await writer.commit(ctx, { expected: digestOf(data) });
  return digestOf(data);
}

describe("disk layout", () => {
  test("blobs and ingests lie where containerd has them, with its modes", async () => {
    await using dir = await tempDir();
    const store = await openContentStore(dir.path);
    const writer = await store.writer(ctx, { ref: "a/1/layer", total: 5n });
    await writer.write(Buffer.from("hel"));
    const ingest = ingestDirectory(dir.path, "a/1/layer");
    expect((await readdir(ingest)).sort()).toEqual(["data", "ref", "startedat", "total", "updatedat"]);
    expect(await readFile(join(ingest, "ref"), "utf8")).toBe("a/1/layer");
    expect(await readFile(join(ingest, "total"), "utf8")).toBe("5");
    expect(await readFile(join(ingest, "data"), "utf8")).toBe("hel");
    expect(await readFile(join(ingest, "startedat"), "utf8")).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    await writer.write(Buffer.from("lo"));
    const before = Date.now() - 20;
    await writer.commit(ctx);
    const blob = await stat(join(dir.path, "blobs/sha256", digestOf("hello").slice(7)));
    expect(blob.mode & 0o777).toBe(0o444);
    expect(blob.mtimeMs).toBeGreaterThanOrEqual(before);
    expect(await readdir(join(dir.path, "ingest"))).toEqual([]);
    await store.close();
  });

  test("CVE-2024-25621: directories are 0700, and looser ones are tightened", async () => {
    await using dir = await tempDir();
    const root = join(dir.path, "content");
    await mkdir(join(root, "blobs/sha256"), { recursive: true, mode: 0o755 });
    const store = await openContentStore(root);
    const writer = await store.writer(ctx, { ref: "x" });
    for (const path of [
      ".",
      "blobs",
      "blobs/sha256",
      "ingest",
      `ingest/${createHash("sha256").update("x").digest("hex")}`,
    ]) {
      expect((await stat(join(root, path))).mode & 0o777, path).toBe(0o700);
    }
    await writer.close();
    await store.close();
  });

  test("what a crash left half made is removed at open; a good ingest is resumed", async () => {
    await using dir = await tempDir();
    const first = await openContentStore(dir.path);
    const writer = await first.writer(ctx, { ref: "good" });
    await writer.write(Buffer.alloc(400_000, 1));
    await writer.close();
    await first.close();
    const empty = ingestDirectory(dir.path, "empty");
    const committed = ingestDirectory(dir.path, "committed");
    for (const path of [empty, committed]) await mkdir(path, { recursive: true });
    await writeFile(join(committed, "ref"), "committed");
    await mkdir(join(dir.path, "ingest/misplaced"));
    await writeFile(join(dir.path, "ingest/misplaced/ref"), "other");
    await writeFile(join(dir.path, "ingest/misplaced/data"), "");
    await writeFile(join(ingestDirectory(dir.path, "good"), "startedat"), "");
    await writeFile(join(dir.path, "blobs/stray"), "not a blob");
    const store = await openContentStore(dir.path);
    expect(await readdir(join(dir.path, "ingest"))).toHaveLength(1);
    expect(await store.listStatuses(ctx, [])).toMatchObject([
      { ref: "good", offset: 400_000n, startedAt: { nanos: expect.any(Number) as number } },
    ]);
    expect(await Array.fromAsync(store.list(ctx, []))).toEqual([]);
    const resumed = await store.writer(ctx, { ref: "good" });
    expect(await resumed.digest()).toBe(digestOf(Buffer.alloc(400_000, 1)));
    await resumed.commit(ctx);
    await store.close();
  });

  test("an ingest of another ref in the same place is not resumed", async () => {
    await using dir = await tempDir();
    const store = await openContentStore(dir.path);
    const ingest = ingestDirectory(dir.path, "mine");
    await mkdir(ingest);
    await writeFile(join(ingest, "ref"), "theirs");
    await writeFile(join(ingest, "data"), "bytes");
    const writer = await store.writer(ctx, { ref: "mine" });
    expect(writer.status().offset).toBe(0n);
    await writer.close();
    await store.close();
  });
});

test("a root filled by containerd is read, and containerd reads ours", async () => {
  // Nothing refers to these blobs, so a collection would remove them.
  const extraConfig = `[plugins."io.containerd.gc.v1.scheduler"]\nstartup_delay = "1h"\nmutation_threshold = 0`;
  await using daemon = await startContainerd({ extraConfig });
  const data = randomBytesOf("containerd", 300_000);
  const digest = digestOf(data);
  const ingest = await daemon.ctr(
    ["content", "ingest", "--expected-digest", digest, "--expected-size", "300000", "theirs"],
    { input: data },
  );
  expect(ingest).toMatchObject({ exitCode: 0, stderr: "" });
  await daemon.stop();
  const root = join(daemon.root, "io.containerd.content.v1.content");
  const store = await openContentStore(root);
  const reader = await store.reader(ctx, digest);
  expect(data.equals(await reader.read(0n, 300_000))).toBe(true);
  await reader.close();
  const ours = randomBytesOf("ctrd", 200_000);
  await put(store, "default/9/ours", ours);
  await store.close();
  await daemon.restart();
  // containerd sees the blob, says that all of it is there, and ctr seeks to the end of its input: it must be a file.
  const input = join(daemon.root, "input");
  await writeFile(input, ours);
  const ingestOurs = `ctr --address ${daemon.address} content ingest --expected-digest ${digestOf(ours)} --expected-size 200000 ours`;
  await mustRun("sh", ["-c", `${ingestOurs} < ${input}`]);
  const { stdout } = await daemon.ctr(["content", "ls", "-q"]);
  expect(stdout.trim().split("\n").sort()).toEqual([digest, digestOf(ours)].sort());
});

describe("full disk", () => {
  async function onTinyDisk(body: (store: LocalContentStore, root: string) => Promise<void>): Promise<void> {
    await using dir = await tempDir();
    await mustRun("mount", ["-t", "tmpfs", "-o", "size=4m", "none", dir.path]);
    try {
      const store = await openContentStore(join(dir.path, "content"));
      await body(store, dir.path);
      await store.close();
    } finally {
      await mustRun("umount", [dir.path]);
    }
  }

  async function fill(writer: ContentWriter, piece: Uint8Array): Promise<unknown> {
    try {
      for (let i = 0; i < 100; i++) await writer.write(piece);
    } catch (error) {
      return error;
    }
    return undefined;
  }

  test("a write fails clearly, the bytes so far are right, and it goes on when space returns", async () => {
    await onTinyDisk(async (store, root) => {
      await writeFile(join(root, "ballast"), Buffer.alloc(2_000_000));
      const writer = await store.writer(ctx, { ref: "big" });
      const piece = randomBytesOf("piece", 300_001);
      const error = await fill(writer, piece);
      expect(kindOf(error)).toBe("resource-exhausted");
      expect(String(error)).toMatch(/write ingest "big": .*no space left on device/);
      const { offset } = writer.status();
      const written = Buffer.concat(Array.from({ length: 10 }, () => piece)).subarray(0, Number(offset));
      expect(await writer.digest()).toBe(digestOf(written));
      await writeFile(join(root, "ballast"), "");
      const rest = randomBytesOf("rest", 300_000);
      await writer.write(rest);
      await writer.commit(ctx, { expected: digestOf(Buffer.concat([written, rest])) });
      expect(await Array.fromAsync(store.list(ctx, []))).toHaveLength(1);
    });
  });

  test("opening a writer fails clearly and leaves no lock", async () => {
    await onTinyDisk(async (store, root) => {
      await mustRun("sh", ["-c", `head -c 10m /dev/zero > ${root}/ballast || true`]);
      await expect(store.writer(ctx, { ref: "none" })).rejects.toThrow("resource exhausted");
      await writeFile(join(root, "ballast"), "");
      await put(store, "none", randomBytesOf("none", 100));
      expect(await store.listStatuses(ctx, [])).toEqual([]);
    });
  });

  test("resuming with a size that cannot be noted leaves no file open", async () => {
    await onTinyDisk(async (store, root) => {
      await (await store.writer(ctx, { ref: "r" })).close();
      await mustRun("sh", ["-c", `head -c 10m /dev/zero > ${root}/ballast || true`]);
      const before = readdirSync("/proc/self/fd").length;
      await expect(store.writer(ctx, { ref: "r", total: 5n })).rejects.toThrow("resource exhausted");
      expect(readdirSync("/proc/self/fd").length).toBe(before);
    });
  });
});
