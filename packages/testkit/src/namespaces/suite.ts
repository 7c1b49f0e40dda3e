/**
 * The conformance suite of namespace stores. Call it from a vitest file:
 *
 * ```ts
 * namespaceSuite("mine", async (root) => {
 *   const store = await openMyNamespaces(root);
 *   return { store, ctx: createContext(), close: () => store.close() };
 * });
 * ```
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { withNamespace } from "@ctrd/core/context";
import type { NamespaceStore } from "@ctrd/core/namespaces";
import { describe, expect, test } from "vitest";
import { expectError, expectKind, expectSame } from "../expectations.ts";
import type { OpenedRecords, OpenRecords, RecordSuiteOptions, WithRecords } from "../records/harness.ts";
import { labelOfSize, labelsOf, recordHarness } from "../records/harness.ts";
import { testWhen } from "../test-when.ts";
import { updateTests } from "./update-tests.ts";

export type { OpenRecords, RecordSuiteOptions } from "../records/harness.ts";

/** A namespace store under test. */
export interface OpenedNamespaceStore extends OpenedRecords<NamespaceStore> {
  /**
   * Puts something into the namespace of `ctx` that keeps it from being deleted; needed with the option `occupy`.
   *
   * @returns what the error calls it, and how it is taken away again
   */
  occupy?(ctx: CallContext): Promise<{ called: string; remove(): Promise<void> }>;
}

/** What a namespace store can do. */
export interface NamespaceSuiteOptions extends RecordSuiteOptions {
  /** There are things in namespaces; `open` gives a way to put one there. */
  occupy?: boolean;
}

/**
 * Defines the tests.
 *
 * @param name shown in the report
 * @param open opens an empty store; `root` is a directory of the test, removed after it
 */
export function namespaceSuite(
  name: string,
  open: OpenRecords<OpenedNamespaceStore>,
  options: NamespaceSuiteOptions = {},
): void {
  const withStore = recordHarness(open);
  describe(`namespace store: ${name}`, () => {
    describe("life", () => lifeTests(withStore, options));
    describe("update", () => updateTests(withStore));
    if (options.occupy === true) describe("occupied namespaces", () => occupiedTests(withStore));
  });
}

type WithNamespaces = WithRecords<OpenedNamespaceStore>;

function lifeTests(withStore: WithNamespaces, options: NamespaceSuiteOptions): void {
  test(
    "a namespace is created, read, listed and deleted, whatever the namespace of the call",
    withStore(async ({ store, ctx }) => {
      const none = withNamespace(ctx, "");
      expect(await store.list(none)).toEqual([]);
      const created = await store.create(none, { name: "n1", labels: labelsOf({ a: "1", empty: "" }) });
      expect(created).toEqual({ name: "n1", labels: labelsOf({ a: "1" }) });
      const second = await store.create(ctx, { name: "n2", labels: new Map() });
      expectSame(await store.get(none, "n1"), created);
      expectSame(
        (await store.list(ctx)).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
        [created, second],
      );
      await store.delete(none, "n1");
      expectSame(await store.list(none), [second]);
    }),
  );

  test(
    "an unknown namespace has no labels, and is not there because it was asked for",
    withStore(async ({ store, ctx }) => {
      expect(await store.get(ctx, "unknown")).toEqual({ name: "unknown", labels: new Map() });
      expect(await store.list(ctx)).toEqual([]);
      await expectError(store.delete(ctx, "unknown"), "not-found", "unknown");
    }),
  );

  test(
    "a namespace that exists is not created again",
    withStore(async ({ store, ctx }) => {
      const created = await store.create(ctx, { name: "n1", labels: labelsOf({ a: "1" }) });
      await expectError(store.create(ctx, { name: "n1", labels: new Map() }), "already-exists", "n1");
      expectSame(await store.list(ctx), [created]);
      await store.delete(ctx, "n1");
      await store.create(ctx, { name: "n1", labels: new Map() });
      expect((await store.get(ctx, "n1")).labels.size).toBe(0);
    }),
  );

  test.each(["", "a b", "a/b", "-a", "a-", "a..b", "ü", "x".repeat(77)])("the name %j is refused", (name) =>
    withStore(async ({ store, ctx }) => {
      await expectKind(store.create(ctx, { name, labels: new Map() }), "invalid-argument");
      await expectKind(store.update(ctx, { name, labels: labelsOf({ a: "1" }) }, ["labels.a"]), "invalid-argument");
      expect(await store.list(ctx)).toEqual([]);
    })(),
  );

  test(
    "labels of more than 4096 bytes are refused",
    withStore(async ({ store, ctx }) => {
      const fits = await store.create(ctx, { name: "fits", labels: labelOfSize(4096) });
      await expectKind(store.create(ctx, { name: "large", labels: labelOfSize(4097) }), "invalid-argument");
      for (const mask of [[], ["labels.k"]]) {
        await expectKind(store.update(ctx, { name: "fits", labels: labelOfSize(4097) }, mask), "invalid-argument");
      }
      expectSame(await store.list(ctx), [fits]);
    }),
  );

  testWhen(options.persistent ?? true)(
    "namespaces survive a restart",
    withStore(async ({ store, ctx }, reopen) => {
      const created = await store.create(ctx, { name: "n1", labels: labelsOf({ a: "1" }) });
      const again = await reopen();
      expectSame(await again.store.list(again.ctx), [created]);
    }),
  );
}

function occupiedTests(withStore: WithNamespaces): void {
  test(
    "a namespace with something in it is there, and is not deleted",
    withStore(async ({ store, ctx, occupy }) => {
      if (occupy === undefined) throw new Error("namespaceSuite: with the option occupy, open must return occupy too");
      const busy = await occupy(withNamespace(ctx, "busy"));
      // A name that begins like the other's must not hold it, nor go with it.
      const near = await occupy(withNamespace(ctx, "busy1"));
      expect((await store.list(ctx)).map(({ name }) => name).sort()).toEqual(["busy", "busy1"]);
      await expectKind(store.create(ctx, { name: "busy", labels: new Map() }), "already-exists");
      await expectError(store.delete(ctx, "busy"), "failed-precondition", busy.called);
      await busy.remove();
      await store.delete(ctx, "busy");
      expect((await store.list(ctx)).map(({ name }) => name)).toEqual(["busy1"]);
      await expectError(store.delete(ctx, "busy1"), "failed-precondition", near.called);
      await near.remove();
    }),
  );
}
