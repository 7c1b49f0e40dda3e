import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { mount, unmount } from "@ctrd/sys";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDurableEnv } from "./index.ts";
import type { DurableEnv } from "./index.ts";

let directory: string;
let path: string;
const open: DurableEnv[] = [];

function openEnv(options: Partial<Parameters<typeof openDurableEnv>[0]> = {}): DurableEnv {
  const env = openDurableEnv({ path, ...options });
  open.push(env);
  return env;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "storage-env-"));
  path = join(directory, "sub", "meta.db");
});

afterEach(async () => {
  for (const env of open.splice(0)) await env.close();
  rmSync(directory, { recursive: true, force: true });
});

describe("openDurableEnv", () => {
  it("keeps values over a restart, with modes that hide them", async () => {
    const env = openEnv();
    const db = env.openDb("things");
    await env.write(() => void db.put(["a", 1], Buffer.from("value")));
    expect(statSync(join(directory, "sub")).mode & 0o777).toBe(0o700);
    for (const file of [path, `${path}-lock`]) expect(statSync(file).mode & 0o777).toBe(0o600);
    await env.close();
    await env.close();
    expect(Buffer.from(openEnv().openDb("things").get(["a", 1]) ?? []).toString()).toBe("value");
  });

  it("orders array keys element by element", async () => {
    const env = openEnv();
    const db = env.openDb("things");
    const keys = [["a", 2], ["a", 10], ["a", "x"], ["a/", 1], ["b"], ["", "\u0000"], ["é😀", 1]];
    await env.write(() => {
      for (const key of keys) void db.put(key, Buffer.from([1]));
    });
    const inA = Array.from(db.getKeys({ start: ["a"], end: ["a", "\uffff"] }));
    expect(inA).toEqual([
      ["a", 2],
      ["a", 10],
      ["a", "x"],
    ]);
    expect(Array.from(db.getKeys())).toHaveLength(keys.length);
  });

  it("undoes only the writes of a callback that throws", async () => {
    const env = openEnv();
    const db = env.openDb("things");
    const results = await Promise.allSettled(
      Array.from({ length: 200 }, (_, i) =>
        env.write(() => {
          void db.put(i, Buffer.from([i]));
          void db.put(["second", i], Buffer.from([i]));
          if (i % 3 === 0) throw new RangeError(`no ${i}`);
          return i;
        }),
      ),
    );
    results.forEach((result, i) => {
      if (i % 3 === 0) expect(result).toMatchObject({ status: "rejected", reason: new RangeError(`no ${i}`) });
      else expect(result).toEqual({ status: "fulfilled", value: i });
      expect(db.get(i) === undefined).toBe(i % 3 === 0);
      expect(db.get(["second", i]) === undefined).toBe(i % 3 === 0);
    });
  });

  it("lets callbacks see earlier writes of their group, and nobody else before the commit", async () => {
    const env = openEnv();
    const db = env.openDb("counter");
    const increment = (): Promise<number> =>
      env.write(() => {
        const next = (db.get("n")?.[0] ?? 0) + 1;
        void db.put("n", Buffer.from([next]));
        return next;
      });
    const all = Array.from({ length: 100 }, increment);
    expect(db.get("n")).toBeUndefined();
    expect(await Promise.all(all)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(db.get("n")?.[0]).toBe(100);
  });

  it("refuses an asynchronous callback and undoes it", async () => {
    const env = openEnv();
    const db = env.openDb("things");
    const write = env.write(async () => void db.put("a", Buffer.from([1])));
    await expect(write).rejects.toThrow(/asynchronous/);
    expect(db.get("a")).toBeUndefined();
  });

  it("groups 64 concurrent writers", async () => {
    const env = openEnv();
    const db = env.openDb("things");
    const total = 6400;
    let next = 0;
    const started = performance.now();
    const writer = async (): Promise<void> => {
      while (next < total) {
        const i = next++;
        await env.write(() => void db.put(i, Buffer.alloc(200, i)));
      }
    };
    await Promise.all(Array.from({ length: 64 }, writer));
    expect((total / (performance.now() - started)) * 1000).toBeGreaterThan(5000);
    expect(db.getCount()).toBe(total);
  });

  it("grows far beyond its first map", async () => {
    const env = openEnv();
    const db = env.openDb("things");
    for (let i = 0; i < 64; i++) await env.write(() => void db.put(i, Buffer.alloc(1 << 20, i)));
    expect(statSync(path).size).toBeGreaterThan(64 << 20);
    expect(db.get(63)?.[5]).toBe(63);
  });

  it("refuses work after close", async () => {
    const env = openEnv();
    await env.close();
    await expect(env.write(() => 1)).rejects.toMatchObject({ kind: "failed-precondition" });
    expect(() => env.openDb("x")).toThrow(/closed/);
  });
});

describe("durability", () => {
  it("syncs the data before the promise resolves", () => {
    const trace = join(directory, "trace");
    const child = fileURLToPath(new URL("./testing/write-once.ts", import.meta.url));
    const run = spawnSync(
      "strace",
      [
        "-f",
        "-e",
        "trace=pwrite64,pwritev,fdatasync,fsync,msync,write",
        "-o",
        trace,
        process.execPath,
        "--conditions=ctrd-source",
        child,
        path,
      ],
      { encoding: "utf8" },
    );
    expect(run.stdout).toContain("RESOLVED");
    const lines = readFileSync(trace, "utf8").split("\n");
    const from = lines.findIndex((line) => line.includes("BEGIN"));
    const to = lines.findIndex((line) => line.includes("RESOLVED"));
    const between = lines.slice(from, to).join("\n");
    // Pages are synced first; the meta page follows on a descriptor with O_DSYNC.
    expect(between).toMatch(/fdatasync[^\n]*= 0\n[^]*pwrite64\(/);
  });

  it("loses no acknowledged write to kill -9", async () => {
    const child = fileURLToPath(new URL("./testing/write-loop.ts", import.meta.url));
    const acknowledged = new Set<number>();
    for (let round = 0; round < 6; round++) {
      const run = spawn(process.execPath, ["--conditions=ctrd-source", child, path, String(round * 1_000_000)]);
      let killed = false;
      for await (const line of createInterface(run.stdout)) {
        acknowledged.add(Number(line));
        if (!killed && acknowledged.size >= (round + 1) * (100 + round * 37)) {
          killed = true;
          run.kill("SIGKILL");
        }
      }
      if (run.exitCode === null && run.signalCode === null) await once(run, "exit");
      expect(killed).toBe(true);
      const env = openEnv();
      const db = env.openDb("things");
      for (const n of acknowledged) {
        expect(db.get(n)?.length, `write ${n}`).toBe(100);
        expect(db.get(["pair", n])?.length, `second half of write ${n}`).toBe(100);
      }
      await env.close();
    }
    expect(acknowledged.size).toBeGreaterThan(600);
  });

  it("does not leave the file to started programs", async () => {
    const env = openEnv();
    await env.write(() => void env.openDb("things").put("a", Buffer.from([1])));
    const listing = spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" }).stdout;
    expect(listing).toContain("/proc/");
    expect(listing).not.toContain("meta.db");
  });
});

describe("damaged files", () => {
  it.each([
    ["text", (file: string) => writeFileSync(file, "hello")],
    ["garbage", (file: string) => writeFileSync(file, Buffer.alloc(65536, 7))],
    ["a bolt database", (file: string) => writeFileSync(file, boltHeader())],
  ])("refuses %s", (_, damage) => {
    mkdirSync(join(directory, "sub"));
    damage(path);
    expect(() => openEnv()).toThrow(
      expect.objectContaining({ kind: "data-loss", message: expect.stringMatching(/not an LMDB.*move it away/) }),
    );
  });

  it("refuses a directory", () => {
    mkdirSync(path, { recursive: true });
    expect(() => openEnv()).toThrow(/not a regular file/);
  });

  it("refuses another format version and a truncated file, and opens again once repaired", async () => {
    const env = openEnv();
    const db = env.openDb("things");
    for (let i = 0; i < 20; i++) await env.write(() => void db.put(i, Buffer.alloc(10_000, 1)));
    await env.close();
    const good = readFileSync(path);
    truncateSync(path, 3 * 4096);
    expect(() => openEnv()).toThrow(
      expect.objectContaining({ kind: "data-loss", message: expect.stringMatching(/truncated/) }),
    );
    writeFileSync(path, good);
    const fd = openSync(path, "r+");
    writeSync(fd, Buffer.from([9, 0, 0, 0]), 0, 4, 28);
    closeSync(fd);
    expect(() => openEnv()).toThrow(/not an LMDB database/);
    writeFileSync(path, good);
    expect(openEnv().openDb("things").getCount()).toBe(20);
  });
});

describe("full disk", () => {
  it("is a resource-exhausted error, stores nothing of the group, and passes when there is room again", async () => {
    const small = join(directory, "small");
    mkdirSync(small);
    mount("tmpfs", small, "tmpfs", 0, "size=4m");
    try {
      const env = openDurableEnv({ path: join(small, "meta.db") });
      const db = env.openDb("things");
      await env.write(() => void db.put("first", Buffer.from([1])));
      const filler = join(small, "filler");
      writeFileSync(filler, Buffer.alloc(2 << 20));
      const big = env.write(() => void db.put("big", Buffer.alloc(3 << 20)));
      const small1 = env.write(() => void db.put("small", Buffer.from([1])));
      await expect(big).rejects.toMatchObject({
        kind: "resource-exhausted",
        message: expect.stringMatching(/no space left/i),
      });
      await expect(small1).rejects.toMatchObject({ kind: "resource-exhausted" });
      expect(db.get("small")).toBeUndefined();
      expect(db.get("first")).toBeDefined();
      rmSync(filler);
      await env.write(() => void db.put("again", Buffer.from([1])));
      expect(db.get("again")).toBeDefined();
      const { bavail, bsize } = statfsSync(small);
      writeFileSync(filler, Buffer.alloc(bavail * bsize - (100 << 10)));
      await env.close();
      expect(() => openDurableEnv({ path: join(small, "meta.db") })).toThrow(
        expect.objectContaining({ kind: "resource-exhausted" }),
      );
    } finally {
      unmount(small, 2);
    }
  });
});

describe("schema", () => {
  it("refuses newer and foreign files, migrates older ones", async () => {
    const schema = (version: number, name = "things") => ({ name, version });
    await openEnv({ schema: schema(2) }).close();
    expect(() => openEnv({ schema: schema(1) })).toThrow(expect.objectContaining({ kind: "failed-precondition" }));
    expect(() => openEnv({ schema: schema(2, "others") })).toThrow(/holds things/);
    expect(() => openEnv({ schema: schema(3) })).toThrow(/no longer read/);
    const failing = {
      ...schema(3),
      migrate: () => {
        throw new Error("migration broke");
      },
    };
    expect(() => openEnv({ schema: failing })).toThrow("migration broke");
    const migrated = openEnv({
      schema: {
        ...schema(3),
        migrate: (env: DurableEnv, from: number) => void env.openDb("new").put("from", Buffer.from([from])),
      },
    });
    expect(migrated.openDb("new").get("from")?.[0]).toBe(2);
    await migrated.close();
    expect(
      openEnv({ schema: schema(3) })
        .openDb("new")
        .get("from")?.[0],
    ).toBe(2);
  });
});

/** The start of a bbolt file: page header, then its own magic. */
function boltHeader(): Buffer {
  const page = Buffer.alloc(32768);
  page.writeUInt16LE(4, 8);
  page.writeUInt32LE(0xed0cdaed, 16);
  page.writeUInt32LE(2, 20);
  page.writeUInt32LE(4096, 24);
  return page;
}
