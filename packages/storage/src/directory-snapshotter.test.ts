import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { createContext } from "@ctrd/core/context";
import { silentLogger } from "@ctrd/core/log";
import type { LogFields, Logger } from "@ctrd/core/log";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDirectorySnapshotter, SnapshotDirectories } from "./index.ts";
import type { DirectorySnapshotterOptions, SnapshotDriver } from "./index.ts";

const ctx = createContext({ namespace: "test" });
let root: string;
let directories: SnapshotDirectories;
let snapshotter: Snapshotter | undefined;

/** The least that a driver is. */
const plain: SnapshotDriver = {
  fill: (_ctx, directory, { record }) => writeFileSync(join(directory, "key"), record.info.name),
  mounts: ({ record, parentIds }) => [
    { type: "bind", source: directories.of(record.id), target: "", options: [...parentIds] },
  ],
};

async function open(
  driver: Partial<SnapshotDriver> = {},
  options: DirectorySnapshotterOptions = {},
): Promise<Snapshotter> {
  await snapshotter?.close();
  snapshotter = openDirectorySnapshotter(directories, { ...plain, ...driver }, options);
  return snapshotter;
}

/** A logger that keeps what it is told. */
function recordingLogger(): { log: Logger; lines: [level: string, fields: LogFields][] } {
  const lines: [string, LogFields][] = [];
  const record =
    (level: string) =>
    (fields: LogFields): void =>
      void lines.push([level, fields]);
  return { log: { ...silentLogger, warn: record("warn"), error: record("error") }, lines };
}

const listed = (): string[] => readdirSync(directories.snapshots).toSorted();

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "storage-directories-"));
  directories = new SnapshotDirectories(root);
});

afterEach(async () => {
  await snapshotter?.close();
  snapshotter = undefined;
  rmSync(root, { recursive: true, force: true });
});

describe("openDirectorySnapshotter", () => {
  it("does all but filling and mounting", async () => {
    const own = await open();
    await own.prepare(ctx, "base active", "");
    await own.commit(ctx, "base", "base active");
    expect(await own.prepare(ctx, "active", "base")).toEqual(await own.mounts(ctx, "active"));
    expect(await own.view(ctx, "view", "base")).toMatchObject([{ source: directories.of("3"), options: ["1"] }]);
    expect(readFileSync(join(directories.of("2"), "key"), "utf8")).toBe("active");
    expect((await own.usage(ctx, "active")).inodes).toBe(2n);
    await own.remove(ctx, "active");
    expect(listed()).toEqual(["1", "2", "3"]);
    await own.cleanup?.(ctx);
    expect(listed()).toEqual(["1", "3"]);
  });

  it("measures and labels what the driver says, and stores no computed label", async () => {
    const labels = (id: string): Map<string, string> => new Map([["computed", id]]);
    const own = await open({ measured: (id) => join(directories.of(id), "key"), labels });
    await own.prepare(ctx, "a", "");
    expect((await own.usage(ctx, "a")).inodes).toBe(1n);
    const info = await own.stat(ctx, "a");
    info.labels.set("stored", "x");
    expect((await own.update(ctx, info, [])).labels).toEqual(
      new Map([
        ["stored", "x"],
        ["computed", "1"],
      ]),
    );
    for await (const each of own.walk(ctx, [])) expect(each.labels.get("computed")).toBe("1");
    const again = await open();
    expect((await again.stat(ctx, "a")).labels).toEqual(new Map([["stored", "x"]]));
  });

  it("has no directory for those that need none", async () => {
    const own = await open({ hasDirectory: () => false }, { syncRemove: true });
    await own.view(ctx, "view", "");
    expect(listed()).toEqual([]);
    await own.remove(ctx, "view");
    const { log, lines } = recordingLogger();
    await open({ hasDirectory: () => false }, { log });
    expect(lines).toEqual([]);
  });

  it("leaves nothing of a snapshot that could not be filled", async () => {
    const own = await open({
      fill: (_ctx, directory) => {
        writeFileSync(join(directory, "half"), "");
        throw Object.assign(new Error("disk full"), { code: "ENOSPC" });
      },
    });
    await expect(own.prepare(ctx, "a", "")).rejects.toMatchObject({ kind: "resource-exhausted" });
    expect(listed()).toEqual([]);
    await expect(own.stat(ctx, "a")).rejects.toMatchObject({ kind: "not-found" });
  });

  it("lets the driver release a directory before it goes", async () => {
    const released: string[] = [];
    const release = (path: string): void => {
      expect(existsSync(path)).toBe(true);
      released.push(path);
    };
    const own = await open({ release }, { syncRemove: true });
    await own.prepare(ctx, "a", "");
    await own.remove(ctx, "a");
    expect(released).toEqual([directories.of("1")]);
    expect(listed()).toEqual([]);
  });

  it("does not delete what the driver cannot release", async () => {
    const release = (): never => {
      throw new Error("still in use");
    };
    const own = await open({ release }, { syncRemove: true });
    await own.prepare(ctx, "a", "");
    const { log, lines } = recordingLogger();
    await own.remove({ ...ctx, log }, "a");
    expect(lines).toEqual([["warn", { path: directories.of("1"), error: "still in use" }]]);
    expect(listed()).toEqual(["1"]);
  });

  it("fills again what a power failure took, also when it took the renaming alone", async () => {
    const refill = (directory: string): void => writeFileSync(join(directory, "key"), "again");
    const first = await open();
    for (const key of ["whole", "gone", "unnamed"]) await first.prepare(ctx, key, "");
    await first.close();
    rmSync(directories.of("2"), { recursive: true });
    rmSync(directories.of("3"), { recursive: true });
    mkdirSync(join(directories.unfinished("3"), "half"), { recursive: true });
    const { log, lines } = recordingLogger();
    await open({ refill }, { log });
    expect(listed()).toEqual(["1", "2", "3"]);
    expect(["2", "3"].map((id) => readFileSync(join(directories.of(id), "key"), "utf8"))).toEqual(["again", "again"]);
    expect(lines.map(([level, fields]) => [level, fields["key"]])).toEqual([
      ["warn", "gone"],
      ["warn", "unnamed"],
    ]);
  });

  it("says which directories a power failure took when the driver cannot fill them again", async () => {
    const first = await open();
    for (const key of ["base active", "gone"]) await first.prepare(ctx, key, "");
    await first.commit(ctx, "base", "base active");
    await first.close();
    for (const id of ["1", "2"]) rmSync(directories.of(id), { recursive: true });
    const { log, lines } = recordingLogger();
    const second = await open({}, { log });
    expect(lines.map(([level, fields]) => [level, fields["key"]])).toEqual([
      ["error", "base"],
      ["error", "gone"],
    ]);
    await second.remove(ctx, "gone");
  });

  it("takes no directory that a crash left for that of a new snapshot", async () => {
    for (const name of ["41", "new-42", "042", "new-", "1e3", "12345678901234567"]) {
      mkdirSync(join(directories.snapshots, name), { recursive: true });
    }
    const own = await open();
    expect(await own.prepare(ctx, "a", "")).toMatchObject([{ source: directories.of("43") }]);
    await own.cleanup?.(ctx);
    expect(listed()).toEqual(["43"]);
  });

  it("cleans up any number of directories without holding up the event loop", async () => {
    for (let i = 1; i <= 20_000; i++) mkdirSync(join(directories.snapshots, String(i)), { recursive: true });
    const own = await open();
    let done = false;
    let longestMs = 0;
    const cleaning = own.cleanup?.(ctx).finally(() => (done = true));
    for (let last = process.threadCpuUsage(); !done;) {
      await setImmediate();
      const { user, system } = process.threadCpuUsage(last);
      longestMs = Math.max(longestMs, (user + system) / 1000);
      last = process.threadCpuUsage();
    }
    await cleaning;
    expect(listed()).toEqual([]);
    expect(longestMs).toBeLessThan(50);
  }, 60_000);
});
