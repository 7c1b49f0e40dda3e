import { expect, test } from "vitest";
import { expectKind, expectSame } from "../expectations.ts";
import type { OpenedRecords, WithRecords } from "./harness.ts";
import { labelOfSize, labelsOf } from "./harness.ts";
import type { AnyRecord, RecordKind } from "./kind.ts";

/** The rules of labels: size, empty values, odd keys, masks. */
export function labelTests<S, R extends AnyRecord>(
  withStore: WithRecords<OpenedRecords<S>>,
  kind: RecordKind<S, R>,
): void {
  test(
    "labels of more than 4096 bytes are refused",
    withStore(async ({ store, ctx }) => {
      const fits = await kind.create(store, ctx, kind.make("fits", labelOfSize(4096)));
      await expectKind(kind.create(store, ctx, kind.make("large", labelOfSize(4097))), "invalid-argument");
      // Bytes count, not characters.
      const wide = new Map([["k", "€".repeat(1366)]]);
      await expectKind(kind.create(store, ctx, kind.make("wide", wide)), "invalid-argument");
      for (const mask of kind.update === undefined ? [] : [[], ["labels"], ["labels.k"]]) {
        const larger = { ...fits, labels: labelOfSize(4097) };
        await expectKind(kind.update?.(store, ctx, larger, mask) ?? Promise.resolve(), "invalid-argument");
      }
      expectSame(await kind.list(store, ctx, []), [fits]);
    }),
  );

  test(
    "labels without a value are not stored",
    withStore(async ({ store, ctx }) => {
      const created = await kind.create(store, ctx, kind.make("one", labelsOf({ a: "1", empty: "" })));
      expect(created.labels).toEqual(labelsOf({ a: "1" }));
      const updated = await kind.update?.(store, ctx, { ...created, labels: labelsOf({ a: "" }) }, ["labels.a"]);
      if (updated !== undefined) expect(updated.labels.size).toBe(0);
      const [listed] = await kind.list(store, ctx, []);
      expect(listed?.labels).toEqual(updated === undefined ? labelsOf({ a: "1" }) : new Map());
    }),
  );

  test(
    "labels named like members of objects are labels like others",
    withStore(async ({ store, ctx }) => {
      const labels = labelsOf({ constructor: "1", hasOwnProperty: "2" }).set("__proto__", "3");
      await kind.create(store, ctx, kind.make("one", labels));
      expect((await kind.list(store, ctx, ["labels.__proto__==3"]))[0]?.labels).toEqual(labels);
      expect(await kind.list(store, ctx, ["labels.toString"])).toEqual([]);
    }),
  );

  if (kind.update === undefined) return;
  const update = kind.update.bind(kind);

  test(
    "labels are replaced by the path labels, and set or removed by labels.<key>",
    withStore(async ({ store, ctx }) => {
      const created = await kind.create(store, ctx, kind.make("one", labelsOf({ a: "1", "x.y/z": "2" })));
      const change = async (mask: string[], labels: Record<string, string>): Promise<unknown> => {
        const updated = await update(store, ctx, { ...created, labels: labelsOf(labels) }, mask);
        expectSame(await kind.list(store, ctx, []), [updated]);
        expectSame(
          { ...updated, labels: undefined, updatedAt: undefined },
          { ...created, labels: undefined, updatedAt: undefined },
        );
        return Object.fromEntries(updated.labels);
      };
      expect(await change(["labels.x.y/z"], { "x.y/z": "3", a: "ignored" })).toEqual({ a: "1", "x.y/z": "3" });
      expect(await change(["labels.a", "labels.b"], { b: "4" })).toEqual({ "x.y/z": "3", b: "4" });
      expect(await change(["labels"], { c: "5" })).toEqual({ c: "5" });
      expect(await change(["labels.none"], {})).toEqual({ c: "5" });
      expect(await change(["labels"], {})).toEqual({});
    }),
  );

  test(
    "an unknown path is refused, and then nothing is changed",
    withStore(async ({ store, ctx }) => {
      const created = await kind.create(store, ctx, kind.make("one", labelsOf({ a: "1" })));
      const wanted = { ...created, labels: labelsOf({ a: "2" }) };
      for (const path of ["nonsense", "label", "labels.", "labelsx", "createdat", "created_at", "updated_at", ""]) {
        await expectKind(update(store, ctx, wanted, ["labels", path]), "invalid-argument");
      }
      expectSame(await kind.list(store, ctx, []), [created]);
    }),
  );
}
