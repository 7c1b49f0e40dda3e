import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Labels } from "@ctrd/core/records";
import type { SnapshotInfo } from "@ctrd/core/snapshots";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSnapshotStore } from "./index.ts";
import type { SnapshotChain, SnapshotFiles, SnapshotStore } from "./index.ts";

let directory: string;
let store: SnapshotStore;
const noFiles: SnapshotFiles = { make: () => {}, discard: () => {} };

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "storage-snapshots-"));
  store = openSnapshotStore(join(directory, "metadata.db"));
});

afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});

async function reopen(): Promise<void> {
  await store.close();
  store = openSnapshotStore(join(directory, "metadata.db"));
}

const prepare = (key: string, parent = "", labels: Labels = new Map()): Promise<SnapshotChain> =>
  store.create({ kind: SnapshotKind.Active, key, parent, labels }, noFiles);

async function commit(name: string, parent = ""): Promise<void> {
  await prepare(`${name}-active`, parent);
  await store.commit(name, `${name}-active`, { size: 10n, inodes: 2n });
}

const names = (filters: string[] = []): string[] => Array.from(store.walk(filters), (each) => each.info.name).sort();
const failure = (kind: string) => expect.objectContaining({ kind });

describe("SnapshotStore", () => {
  it("gives parents nearest first, with ids that survive renames and restarts", async () => {
    await commit("a");
    await commit("b", "a");
    const { record, parentIds } = await prepare("c", "b");
    expect([record.id, ...parentIds]).toEqual(["3", "2", "1"]);
    await reopen();
    expect(store.mountable("c").parentIds).toEqual(["2", "1"]);
    expect(store.get("b").usage).toEqual({ size: 10n, inodes: 2n });
    expect(store.stat("b")).toMatchObject({ name: "b", parent: "a", kind: SnapshotKind.Committed });
  });

  it("never gives an id twice, also after a removal, a restart and a failed creation", async () => {
    await prepare("a");
    await store.remove("a");
    await expect(
      store.create(
        { kind: SnapshotKind.View, key: "b", parent: "" },
        {
          ...noFiles,
          make: () => {
            throw new Error("disk");
          },
        },
      ),
    ).rejects.toThrow("disk");
    expect((await prepare("c")).record.id).toBe("3");
    await store.remove("c");
    await reopen();
    expect((await prepare("d")).record.id).toBe("4");
    store.skipIds(40);
    expect((await prepare("e")).record.id).toBe("41");
  });

  it("lets exactly one of many creators of a key win and discards the files of the others", async () => {
    const made: string[] = [];
    const discarded: string[] = [];
    const files: SnapshotFiles = {
      make: ({ record }) => void made.push(record.id),
      discard: (id) => void discarded.push(id),
    };
    const all = await Promise.allSettled(
      Array.from({ length: 20 }, () => store.create({ kind: SnapshotKind.Active, key: "k", parent: "" }, files)),
    );
    const won = all.filter((each) => each.status === "fulfilled");
    expect(won).toHaveLength(1);
    for (const each of all)
      if (each.status === "rejected") expect(each.reason).toMatchObject({ kind: "already-exists" });
    expect(made.filter((id) => !discarded.includes(id))).toEqual([store.get("k").id]);
    expect(Array.from(store.ids())).toEqual([store.get("k").id]);
  });

  it("counts ids as owned while files are being made", async () => {
    let release = (): void => {};
    const waiting = new Promise<void>((resolve) => (release = resolve));
    const creation = store.create(
      { kind: SnapshotKind.Active, key: "k", parent: "" },
      { ...noFiles, make: () => waiting },
    );
    expect(store.ids().has("1")).toBe(true);
    expect(() => store.get("k")).toThrow(failure("not-found"));
    release();
    await creation;
    expect(store.ids().has("1")).toBe(true);
  });

  it("does not let a parent vanish under a child that is being made", async () => {
    await commit("base");
    let release = (): void => {};
    const waiting = new Promise<void>((resolve) => (release = resolve));
    const creation = store.create(
      { kind: SnapshotKind.Active, key: "child", parent: "base" },
      { ...noFiles, make: () => waiting },
    );
    await expect(store.remove("base")).rejects.toMatchObject({ kind: "failed-precondition" });
    release();
    expect((await creation).parentIds).toEqual([store.get("base").id]);
    await store.remove("child");
    await store.remove("base");
    expect(names()).toEqual([]);
  });

  it("has the error classes of the contract", async () => {
    await commit("base");
    await prepare("active", "base");
    await store.create({ kind: SnapshotKind.View, key: "view", parent: "base" }, noFiles);
    await expect(prepare("x", "missing")).rejects.toThrow(failure("not-found"));
    await expect(prepare("x", "active")).rejects.toThrow(failure("invalid-argument"));
    await expect(prepare("active", "base")).rejects.toThrow(failure("already-exists"));
    await expect(prepare("base")).rejects.toThrow(failure("already-exists"));
    await expect(prepare("")).rejects.toThrow(failure("invalid-argument"));
    await expect(prepare("x".repeat(2000))).rejects.toThrow(failure("invalid-argument"));
    await expect(prepare("x", "y".repeat(3000))).rejects.toThrow(failure("not-found"));
    await expect(prepare("x", "", new Map([["k", "v".repeat(4096)]]))).rejects.toThrow(failure("invalid-argument"));
    const usage = { size: 0n, inodes: 0n };
    for (const key of ["view", "base"]) {
      expect(() => store.checkCommit("new", key)).toThrow(failure("failed-precondition"));
      await expect(store.commit("new", key, usage)).rejects.toThrow(failure("failed-precondition"));
    }
    await expect(store.commit("new", "missing", usage)).rejects.toThrow(failure("not-found"));
    await expect(store.commit("base", "active", usage)).rejects.toThrow(failure("already-exists"));
    await commit("other");
    await expect(store.commit("new", "active", usage, { parent: "other" })).rejects.toThrow(
      failure("invalid-argument"),
    );
    await prepare("bare");
    await expect(store.commit("new", "bare", usage, { parent: "active" })).rejects.toThrow(
      failure("failed-precondition"),
    );
    await expect(store.commit("new", "bare", usage, { parent: "missing" })).rejects.toThrow(failure("not-found"));
    await expect(store.remove("base")).rejects.toThrow(failure("failed-precondition"));
    await expect(store.remove("missing")).rejects.toThrow(failure("not-found"));
    await expect(store.remove("")).rejects.toThrow(failure("not-found"));
    expect(() => store.mountable("base")).toThrow(failure("failed-precondition"));
    expect(() => store.mountable("missing")).toThrow(failure("not-found"));
    await expect(store.update({ ...store.stat("base"), name: "missing" }, [])).rejects.toThrow(failure("not-found"));
    await expect(store.update(store.stat("base"), ["parent"])).rejects.toThrow(failure("invalid-argument"));
    expect(names()).toEqual(["active", "bare", "base", "other", "view"]);
  });

  it("gives a parentless active one a parent at commit, which then cannot be removed", async () => {
    await commit("base");
    await prepare("layer");
    await store.commit("top", "layer", { size: 1n, inodes: 1n }, { parent: "base" });
    expect(store.stat("top").parent).toBe("base");
    await expect(store.remove("base")).rejects.toThrow(failure("failed-precondition"));
    await store.remove("top");
    await store.remove("base");
    expect(names()).toEqual([]);
  });

  it("replaces labels at commit and resets the times", async () => {
    await prepare(
      "a",
      "",
      new Map([
        ["old", "1"],
        ["empty", ""],
      ]),
    );
    expect(store.stat("a").labels).toEqual(new Map([["old", "1"]]));
    const before = store.stat("a").createdAt;
    await new Promise((resolve) => setTimeout(resolve, 5));
    await store.commit("b", "a", { size: 0n, inodes: 0n }, { labels: new Map([["new", "2"]]) });
    const info = store.stat("b");
    expect(info.labels).toEqual(new Map([["new", "2"]]));
    expect(info.createdAt).not.toEqual(before);
    expect(info.updatedAt).toEqual(info.createdAt);
  });

  it("updates labels only, and hands out copies", async () => {
    await prepare("a", "", new Map([["x", "1"]]));
    const info: SnapshotInfo = { ...store.stat("a"), parent: "nonsense", labels: new Map([["y", "2"]]) };
    const updated = await store.update(info, ["labels.y"]);
    expect(updated).toMatchObject({
      parent: "",
      labels: new Map([
        ["x", "1"],
        ["y", "2"],
      ]),
    });
    updated.labels.set("z", "3");
    store.stat("a").labels.clear();
    for (const each of store.walk([])) each.info.labels.clear();
    await reopen();
    expect(store.stat("a").labels).toEqual(
      new Map([
        ["x", "1"],
        ["y", "2"],
      ]),
    );
  });

  it("keeps memory and disk alike under a storm of changes", async () => {
    await commit("base");
    const jobs = Array.from({ length: 300 }, async (_, i) => {
      const key = `k${i % 40}`;
      await prepare(key, i % 2 === 0 ? "base" : "").catch(() => {});
      await store.update({ ...store.stat("base"), name: key, labels: new Map([["i", String(i)]]) }, []).catch(() => {});
      if (i % 3 === 0) await store.commit(`c${i % 60}`, key, { size: 1n, inodes: 1n }, {}).catch(() => {});
      if (i % 5 === 0) await store.remove(i % 2 === 0 ? key : `c${i % 60}`).catch(() => {});
    });
    await Promise.all(jobs);
    const inMemory = Array.from(store.all()).sort((a, b) => Number(a.id) - Number(b.id));
    expect(inMemory.length).toBeGreaterThan(20);
    await reopen();
    expect(Array.from(store.all()).sort((a, b) => Number(a.id) - Number(b.id))).toEqual(inMemory);
  });

  it("walks with filters", async () => {
    await commit("base");
    await prepare("a", "base", new Map([["tier", "web"]]));
    expect(names(["kind==active"])).toEqual(["a"]);
    expect(names(['parent==base,labels."tier"==web', "name==base"])).toEqual(["a", "base"]);
    expect(() => names(["kind=="])).toThrow(failure("invalid-argument"));
  });
});
