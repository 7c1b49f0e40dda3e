import { withNamespace } from "@ctrd/core/context";
import { expect, test } from "vitest";
import { expectKind, expectSame } from "../expectations.ts";
import type { OpenedRecords, WithRecords } from "./harness.ts";
import { labelsOf } from "./harness.ts";
import type { AnyRecord, RecordKind } from "./kind.ts";

/** What one namespace sees of another: nothing. */
export function namespaceTests<S, R extends AnyRecord>(
  withStore: WithRecords<OpenedRecords<S>>,
  kind: RecordKind<S, R>,
): void {
  test(
    "each namespace has records of its own",
    withStore(async ({ store, ctx }) => {
      // A name that begins like the other's: keys must not run into each other.
      const other = withNamespace(ctx, `${ctx.namespace}1`);
      const mine = await kind.create(store, ctx, kind.make("same", labelsOf({ of: "mine" })));
      expect(await kind.list(store, other, [])).toEqual([]);
      await expectKind(kind.delete(store, other, "same"), "not-found");
      if (kind.get !== undefined) await expectKind(kind.get(store, other, "same"), "not-found");
      if (kind.update !== undefined) await expectKind(kind.update(store, other, mine, []), "not-found");
      const theirs = await kind.create(store, other, kind.make("same", labelsOf({ of: "theirs" })));
      expectSame(await kind.list(store, ctx, []), [mine]);
      expectSame(await kind.list(store, other, []), [theirs]);
      await kind.update?.(store, other, { ...theirs, labels: labelsOf({ of: "changed" }) }, ["labels"]);
      expectSame(await kind.list(store, ctx, []), [mine]);
      await kind.delete(store, other, "same");
      expectSame(await kind.list(store, ctx, []), [mine]);
    }),
  );

  test.each([
    ["", "failed-precondition"],
    ["a/b", "invalid-argument"],
    ["a b", "invalid-argument"],
    ["-a", "invalid-argument"],
    ["x".repeat(77), "invalid-argument"],
  ] as const)("calls in the namespace %j fail as %s", (namespace, failure) =>
    withStore(async ({ store, ctx }) => {
      const record = await kind.create(store, ctx, kind.make("one"));
      const bad = withNamespace(ctx, namespace);
      await expectKind(kind.list(store, bad, []), failure);
      await expectKind(kind.create(store, bad, kind.make("two")), failure);
      await expectKind(kind.delete(store, bad, "one"), failure);
      if (kind.get !== undefined) await expectKind(kind.get(store, bad, "one"), failure);
      if (kind.update !== undefined) await expectKind(kind.update(store, bad, record, []), failure);
      expectSame(await kind.list(store, ctx, []), [record]);
    })(),
  );
}
