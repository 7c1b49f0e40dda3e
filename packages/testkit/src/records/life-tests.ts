import { setTimeout as sleep } from "node:timers/promises";
import { millisFromTimestamp } from "@ctrd/core/records";
import { expect, test } from "vitest";
import { expectError, expectKind, expectSame, expectSince } from "../expectations.ts";
import { testWhen } from "../test-when.ts";
import type { OpenedRecords, RecordSuiteOptions, WithRecords } from "./harness.ts";
import { labelsOf } from "./harness.ts";
import type { AnyRecord, RecordKind } from "./kind.ts";

/** Creating, reading and deleting, times, and what survives a restart. */
export function lifeTests<S, R extends AnyRecord>(
  withStore: WithRecords<OpenedRecords<S>>,
  kind: RecordKind<S, R>,
  options: RecordSuiteOptions,
): void {
  test(
    "a record is created, read, listed and deleted",
    withStore(async ({ store, ctx }) => {
      expect(await kind.list(store, ctx, [])).toEqual([]);
      const wanted = kind.make("one", labelsOf({ a: "1" }));
      const created = await kind.create(store, ctx, wanted);
      expectSame({ ...created, ...times(wanted) }, wanted);
      expectSame(await kind.list(store, ctx, []), [created]);
      if (kind.get !== undefined) expectSame(await kind.get(store, ctx, "one"), created);
      const second = await kind.create(store, ctx, kind.make("two"));
      expect((await kind.list(store, ctx, [])).map(kind.idOf).sort()).toEqual(["one", "two"]);
      await kind.delete(store, ctx, "one");
      expectSame(await kind.list(store, ctx, []), [second]);
    }),
  );

  test(
    "a missing record is not found by any call, and named in the error",
    withStore(async ({ store, ctx }) => {
      await kind.create(store, ctx, kind.make("other"));
      if (kind.get !== undefined) await expectError(kind.get(store, ctx, "absent"), "not-found", "absent");
      await expectError(kind.delete(store, ctx, "absent"), "not-found", "absent");
      const { update } = kind;
      if (update !== undefined) {
        await expectError(update(store, ctx, kind.make("absent"), []), "not-found", "absent");
        await expectKind(update(store, ctx, kind.make("absent"), ["labels.a"]), "not-found");
      }
      await kind.delete(store, ctx, "other");
      await expectKind(kind.delete(store, ctx, "other"), "not-found");
      expect(await kind.list(store, ctx, [])).toEqual([]);
    }),
  );

  test(
    "a record that exists is not created again, but can be after it was deleted",
    withStore(async ({ store, ctx }) => {
      const created = await kind.create(store, ctx, kind.make("one", labelsOf({ a: "1" })));
      const again = kind.make("one", labelsOf({ a: "2" }));
      await expectError(kind.create(store, ctx, again), "already-exists", "one");
      expectSame(await kind.list(store, ctx, []), [created]);
      await kind.delete(store, ctx, "one");
      expect((await kind.create(store, ctx, again)).labels).toEqual(labelsOf({ a: "2" }));
    }),
  );

  test(
    "the store sets the times",
    withStore(async ({ store, ctx }) => {
      const before = Date.now();
      const old = { seconds: 5n, nanos: 5 };
      const created = await kind.create(store, ctx, { ...kind.make("one"), createdAt: old, updatedAt: old });
      expectSince(created.createdAt, before);
      if (kind.update === undefined) return;
      expect(created.updatedAt).toEqual(created.createdAt);
      await sleep(3);
      const wanted = { ...created, createdAt: old, updatedAt: old };
      for (const mask of [["labels.x"], []]) {
        const updated = await kind.update(store, ctx, wanted, mask);
        expect(updated.createdAt).toEqual(created.createdAt);
        expectSince(updated.updatedAt, millisFromTimestamp(created.updatedAt) + 1);
      }
    }),
  );

  testWhen(options.persistent ?? true)(
    "records survive a restart unchanged",
    withStore(async ({ store, ctx }, reopen) => {
      const labels = labelsOf({ a: "1", "b/c.d": "ü" });
      const created = [await kind.create(store, ctx, kind.make("one", labels))];
      created.push(await kind.create(store, ctx, kind.make("two")));
      await kind.create(store, ctx, kind.make("gone"));
      await kind.delete(store, ctx, "gone");
      const again = await reopen();
      expectSame(byId(kind, await kind.list(again.store, again.ctx, [])), created);
    }),
  );

  test(
    "records are values: changing one outside the store changes nothing in it",
    withStore(async ({ store, ctx }) => {
      const given = kind.make("one", labelsOf({ a: "1" }));
      const created = await kind.create(store, ctx, given);
      const [listed] = await kind.list(store, ctx, []);
      for (const record of [given, created, listed]) record?.labels.set("a", "changed");
      expect((await kind.list(store, ctx, []))[0]?.labels).toEqual(labelsOf({ a: "1" }));
    }),
  );
}

function times(record: AnyRecord): Partial<AnyRecord> {
  const { createdAt } = record;
  return "updatedAt" in record ? { createdAt, updatedAt: record.updatedAt } : { createdAt };
}

/** Records in the order of their ids: the order of a listing is the store's own. */
export function byId<S, R extends AnyRecord>(kind: RecordKind<S, R>, records: readonly R[]): R[] {
  return records.toSorted((a, b) => (kind.idOf(a) < kind.idOf(b) ? -1 : 1));
}
