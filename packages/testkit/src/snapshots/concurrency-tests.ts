import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { CurrentBench } from "./suite.ts";
import { write } from "./trees.ts";

/** Outcomes of calls made at once: how many succeeded, and the kinds of the other failures. */
async function outcomes(calls: readonly Promise<unknown>[]): Promise<{ won: number; kinds: string[] }> {
  const settled = await Promise.allSettled(calls);
  const failed = settled.filter((each) => each.status === "rejected");
  const kinds = failed.map(({ reason }: { reason: unknown }) =>
    typeof reason === "object" && reason !== null && "kind" in reason ? String(reason.kind) : String(reason),
  );
  return { won: settled.length - failed.length, kinds: Array.from(new Set(kinds)) };
}

/** Calls that race. */
export function concurrencyTests(current: CurrentBench): void {
  it("lets one of many prepares of a key win", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "");
    for (let round = 0; round < 5; round++) {
      const key = `key ${round}`;
      const calls = Array.from({ length: 10 }, (_, i) =>
        i % 2 === 0 ? snapshotter.prepare(ctx, key, "base") : snapshotter.view(ctx, key, "base"),
      );
      expect(await outcomes(calls)).toEqual({ won: 1, kinds: ["already-exists"] });
    }
    expect((await current().walk()).length).toBe(6);
  });

  it("lets one of many commits to a name win", async () => {
    const { snapshotter, ctx } = current();
    const keys = Array.from({ length: 8 }, (_, i) => `key ${i}`);
    for (const key of keys) await current().active(key, "", (directory) => write(join(directory, key), key));
    const calls = keys.map((key) => snapshotter.commit(ctx, "name", key));
    expect(await outcomes(calls)).toEqual({ won: 1, kinds: ["already-exists"] });
    const left = await current().names(["kind==active"]);
    expect(left.length).toBe(7);
    const [winner] = keys.filter((key) => !left.includes(key));
    await current().view("name", (directory) => expect(readdirSync(directory)).toEqual([winner]));
  });

  it("commits one active snapshot once", async () => {
    const { snapshotter, ctx } = current();
    await snapshotter.prepare(ctx, "key", "");
    const calls = Array.from({ length: 8 }, (_, i) => snapshotter.commit(ctx, `name ${i}`, "key"));
    expect(await outcomes(calls)).toEqual({ won: 1, kinds: ["not-found"] });
    expect((await current().walk()).length).toBe(1);
  });

  it("removes a parent or gives it a child, not both", async () => {
    const { snapshotter, ctx } = current();
    for (let round = 0; round < 10; round++) {
      await current().layer("base", "");
      const removal = snapshotter.remove(ctx, "base");
      const creation = snapshotter.prepare(ctx, "child", "base");
      const [removed, created] = await Promise.allSettled([removal, creation]);
      expect([removed.status, created.status].toSorted()).toEqual(["fulfilled", "rejected"]);
      if (removed.status === "rejected") {
        expect(removed.reason).toMatchObject({ kind: "failed-precondition" });
        await snapshotter.remove(ctx, "child");
        await snapshotter.remove(ctx, "base");
      } else if (created.status === "rejected") expect(created.reason).toMatchObject({ kind: "not-found" });
    }
  });

  it("makes many snapshots at once", async () => {
    const { snapshotter, ctx } = current();
    await current().layer("base", "", (directory) => write(join(directory, "file"), "1"));
    const keys = Array.from({ length: 64 }, (_, i) => `key ${String(i).padStart(2, "0")}`);
    const mounts = await Promise.all(keys.map((key) => snapshotter.prepare(ctx, key, "base")));
    expect(new Set(mounts.map((each) => JSON.stringify(each))).size).toBe(64);
    expect(await current().names(["kind==active"])).toEqual(keys);
    await Promise.all(keys.map((key) => snapshotter.commit(ctx, `${key} committed`, key)));
    await Promise.all(keys.map((key) => snapshotter.remove(ctx, `${key} committed`)));
    expect(await current().names()).toEqual(["base"]);
  });

  it("stops waiting when the caller does", async () => {
    const { snapshotter, ctx } = current();
    await current().active("key", "", (directory) => write(join(directory, "file"), "1"));
    const aborted = { ...ctx, signal: AbortSignal.abort() };
    await expect(snapshotter.usage(aborted, "key")).rejects.toMatchObject({ kind: "canceled" });
    await snapshotter.usage(ctx, "key");
  });
}
