import { spawn } from "node:child_process";
import { once } from "node:events";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { createContext } from "@ctrd/core/context";
import { digestOf } from "@ctrd/core/digests";
import { kindOf } from "@ctrd/core/errors";
import { randomBytesOf, tempDir } from "@ctrd/testkit/fixtures";
import { expect, test } from "vitest";
import { HashThread } from "./hash-thread.ts";
import { openContentStore } from "./index.ts";
import { RefLocks } from "./locks.ts";

const ctx = createContext();

test("an opener waits shortly for a writer that is being closed", async () => {
  await using dir = await tempDir();
  const store = await openContentStore(dir.path);
  const writer = await store.writer(ctx, { ref: "x" });
  const [again] = await Promise.all([store.writer(ctx, { ref: "x" }), sleep(50).then(() => writer.close())]);
  await again.close();
  await store.close();
});

test("a lock names ref, duration and time, ends its wait on abort, and goes to one waiter only", async () => {
  const locks = new RefLocks();
  const never = new AbortController().signal;
  const unlock = await locks.acquire("layer", never);
  await expect(locks.acquire("layer", never)).rejects.toThrow(
    /^ref layer locked for [0-9.]+ms \(since \d{4}-.*Z\): unavailable$/,
  );
  const abort = new AbortController();
  const waiting = locks.acquire("layer", abort.signal);
  abort.abort();
  await expect(waiting).rejects.toSatisfy((error) => kindOf(error) === "canceled");
  const waiters = [locks.acquire("layer", never), locks.acquire("layer", never)];
  unlock();
  const results = await Promise.allSettled(waiters);
  expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
});

test("a canceled call does not commit; the bytes stay", async () => {
  await using dir = await tempDir();
  const store = await openContentStore(dir.path);
  const writer = await store.writer(ctx, { ref: "x" });
  await writer.write(Buffer.from("abc"));
  const canceled = createContext({ signal: AbortSignal.abort() });
  await expect(writer.commit(canceled)).rejects.toSatisfy((error) => kindOf(error) === "canceled");
  expect(await store.status(ctx, "x")).toMatchObject({ offset: 3n });
  await store.close();
});

test("the event loop stays free while large blobs are written and hashed", async () => {
  await using dir = await tempDir();
  const store = await openContentStore(dir.path);
  const piece = randomBytesOf("piece", 8 << 20);
  const writer = await store.writer(ctx, { ref: "x" });
  const start = performance.eventLoopUtilization();
  for (let i = 0; i < 16; i++) await writer.write(piece);
  await writer.digest();
  // Hashing 128 MiB here would take the loop for most of the time.
  expect(performance.eventLoopUtilization(start).utilization).toBeLessThan(0.5);
  await writer.close();
  await store.close();
});

test("a hashing thread that ends fails what waits for it, and the next use starts another", async () => {
  await using dir = await tempDir();
  const store = await openContentStore(dir.path);
  const data = randomBytesOf("x", 1 << 20);
  const writer = await store.writer(ctx, { ref: "x" });
  await writer.write(data);
  await store.close();
  await expect(writer.commit(ctx)).rejects.toThrow("hashing thread");
  const again = await store.writer(ctx, { ref: "x" });
  await again.commit(ctx, { expected: digestOf(data) });
  await store.close();
});

test("an idle hashing thread ends, and starts again when it is needed", async () => {
  const file = await open(import.meta.filename, "r");
  const { size } = await file.stat();
  const thread = new HashThread(50);
  for (let round = 0; round < 2; round++) {
    const followed = thread.follow(file.fd, "sha256");
    followed.advance(size);
    await sleep(100);
    expect(thread.running).toBe(true);
    expect(await followed.digest()).toHaveLength(64);
    await followed.release();
    await expect.poll(() => thread.running, { timeout: 2000 }).toBe(false);
  }
  await file.close();
});

test("a file that shrinks below what was written is an error, not a wrong digest", async () => {
  await using dir = await tempDir();
  await writeFile(join(dir.path, "f"), "abc");
  const file = await open(join(dir.path, "f"), "r");
  const thread = new HashThread();
  const followed = thread.follow(file.fd, "sha256");
  followed.advance(4);
  await expect(followed.digest()).rejects.toThrow("file ends at 3 bytes, 4 were written");
  followed.rewind();
  followed.advance(3);
  expect(`sha256:${await followed.digest()}`).toBe(digestOf("abc"));
  await followed.release();
  await file.close();
  await thread.close();
});

/** Commits blobs of many sizes, several at once, and prints the digest of each once its commit is done. */
const commitLoop = `
  import { createHash, randomBytes } from "node:crypto";
  import { writeSync } from "node:fs";
  import { createContext } from "@ctrd/core/context";
  import { openContentStore } from "@ctrd/content-local";
  const [root, round] = process.argv.slice(1);
  const store = await openContentStore(root);
  const ctx = createContext();
  async function worker(name) {
    for (let i = 0; ; i++) {
      const data = randomBytes(1000 + ((i * 77_777) % 600_000));
      const expected = "sha256:" + createHash("sha256").update(data).digest("hex");
      const writer = await store.writer(ctx, { ref: round + name + i });
      await writer.write(data);
      await writer.commit(ctx, { expected });
      writeSync(1, expected + "\\n");
    }
  }
  await Promise.all(["a", "b", "c"].map(worker));
`;

test("kill -9 while committing loses nothing that was acknowledged and corrupts nothing", async () => {
  await using dir = await tempDir();
  for (let round = 0; round < 4; round++) {
    const args = ["--conditions=ctrd-source", "--input-type=module", "--eval", commitLoop, dir.path, String(round)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], cwd: import.meta.dirname });
    const acknowledged: string[] = [];
    const exited = once(child, "exit");
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line);
      if (acknowledged.length === 20 + round * 7) child.kill("SIGKILL");
    }
    await exited;
    expect(acknowledged.length).toBeGreaterThanOrEqual(20 + round * 7);
    const store = await openContentStore(dir.path);
    for (const digest of acknowledged) {
      const reader = await store.reader(ctx, digest);
      expect(digestOf(await reader.read(0n, Number(reader.size)))).toBe(digest);
      await reader.close();
    }
    for await (const { digest, size } of store.list(ctx, [])) {
      const reader = await store.reader(ctx, digest);
      expect(digestOf(await reader.read(0n, Number(size)))).toBe(digest);
      await reader.close();
    }
    await store.close();
  }
});
