import { kindOf } from "@ctrd/core/errors";
import { expect, test } from "vitest";
import type { OpenedRecords, WithRecords } from "./harness.ts";
import { labelsOf } from "./harness.ts";
import type { AnyRecord, RecordKind } from "./kind.ts";

const numbers = Array.from({ length: 100 }, (_unused, index) => index);

/** Calls at the same time. */
export function concurrencyTests<S, R extends AnyRecord>(
  withStore: WithRecords<OpenedRecords<S>>,
  kind: RecordKind<S, R>,
): void {
  test(
    "of many creations of one record one succeeds, and of many deletions",
    withStore(async ({ store, ctx }) => {
      const outcomes = async (calls: Promise<unknown>[]): Promise<string[]> =>
        (await Promise.all(calls.map((call) => call.then(() => "ok", kindOf)))).sort();
      const created = numbers.slice(0, 20).map(() => kind.create(store, ctx, kind.make("one")));
      expect(await outcomes(created)).toEqual([...Array(19).fill("already-exists"), "ok"]);
      const deleted = numbers.slice(0, 20).map(() => kind.delete(store, ctx, "one"));
      expect(await outcomes(deleted)).toEqual([...Array(19).fill("not-found"), "ok"]);
    }),
  );

  test(
    "records made side by side are all there, and a listing sees each whole",
    withStore(async ({ store, ctx }) => {
      const made = Promise.all(
        numbers.map((n) => kind.create(store, ctx, kind.make(`r${n}`, labelsOf({ n: String(n), m: String(n) })))),
      );
      for (const { labels } of await kind.list(store, ctx, [])) expect(labels.get("n")).toBe(labels.get("m"));
      await made;
      const ids = (await kind.list(store, ctx, [])).map(kind.idOf);
      expect(ids.sort()).toEqual(numbers.map((n) => `r${n}`).sort());
    }),
  );

  const { update } = kind;
  if (update === undefined) return;
  test(
    "updates of different labels at the same time lose nothing",
    withStore(async ({ store, ctx }) => {
      const created = await kind.create(store, ctx, kind.make("one"));
      await Promise.all(
        numbers.map((n) =>
          update.call(kind, store, ctx, { ...created, labels: labelsOf({ [`n${n}`]: "1" }) }, [`labels.n${n}`]),
        ),
      );
      const [record] = await kind.list(store, ctx, []);
      expect([...(record?.labels.keys() ?? [])].sort()).toEqual(numbers.map((n) => `n${n}`).sort());
    }),
  );
}
