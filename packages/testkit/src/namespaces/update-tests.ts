import type { NamespaceStore } from "@ctrd/core/namespaces";
import { expect, test } from "vitest";
import { expectKind, expectSame } from "../expectations.ts";
import type { OpenedRecords, WithRecords } from "../records/harness.ts";
import { labelsOf } from "../records/harness.ts";

/** Labels: by path, or all of them. */
export function updateTests(withStore: WithRecords<OpenedRecords<NamespaceStore>>): void {
  test(
    "labels are set and removed by path, and replaced without a mask",
    withStore(async ({ store, ctx }) => {
      await store.create(ctx, { name: "n", labels: labelsOf({ a: "1" }) });
      const change = async (labels: Record<string, string>, mask: string[]): Promise<unknown> => {
        const updated = await store.update(ctx, { name: "n", labels: labelsOf(labels) }, mask);
        expectSame(await store.get(ctx, "n"), updated);
        return Object.fromEntries(updated.labels);
      };
      const runtime = "containerd.io/defaults/runtime";
      expect(await change({ [runtime]: "r", a: "ignored" }, [`labels.${runtime}`])).toEqual({ a: "1", [runtime]: "r" });
      expect(await change({ a: "" }, ["labels.a"])).toEqual({ [runtime]: "r" });
      expect(await change({ b: "2" }, ["labels.b", `labels.${runtime}`])).toEqual({ b: "2" });
      expect(await change({ c: "3", empty: "" }, [])).toEqual({ c: "3" });
      expect(await change({}, [])).toEqual({});
    }),
  );

  test(
    "an update makes a namespace that is not there",
    withStore(async ({ store, ctx }) => {
      await store.update(ctx, { name: "labelled", labels: labelsOf({ a: "1" }) }, ["labels.a"]);
      expectSame(await store.list(ctx), [{ name: "labelled", labels: labelsOf({ a: "1" }) }]);
    }),
  );

  test(
    "another path is refused, also labels as a whole, and then nothing is changed",
    withStore(async ({ store, ctx }) => {
      const created = await store.create(ctx, { name: "n", labels: labelsOf({ a: "1" }) });
      for (const path of ["labels", "name", "labels.", "nonsense", ""]) {
        const call = store.update(ctx, { name: "n", labels: labelsOf({ a: "2" }) }, ["labels.a", path]);
        await expectKind(call, "invalid-argument");
      }
      expectSame(await store.list(ctx), [created]);
    }),
  );

  test(
    "labels named like members of objects are labels like others",
    withStore(async ({ store, ctx }) => {
      const labels = labelsOf({ constructor: "1" }).set("__proto__", "2");
      await store.create(ctx, { name: "n", labels });
      expect((await store.get(ctx, "n")).labels).toEqual(labels);
      await store.update(ctx, { name: "n", labels: new Map([["__proto__", "3"]]) }, ["labels.__proto__"]);
      expect((await store.get(ctx, "n")).labels.get("__proto__")).toBe("3");
    }),
  );

  test(
    "updates of different labels at the same time lose nothing",
    withStore(async ({ store, ctx }) => {
      const keys = Array.from({ length: 50 }, (_unused, n) => `k${n}`);
      await Promise.all(
        keys.map((key) => store.update(ctx, { name: "n", labels: labelsOf({ [key]: "1" }) }, [`labels.${key}`])),
      );
      expect([...(await store.get(ctx, "n")).labels.keys()].sort()).toEqual(keys.toSorted());
    }),
  );
}
