/**
 * The conformance suite of sandbox stores. Call it from a vitest file:
 *
 * ```ts
 * sandboxStoreSuite("mine", async (root) => {
 *   const store = await openMySandboxes(root);
 *   return { store, ctx: createContext({ namespace: "testing" }), close: () => store.close() };
 * });
 * ```
 *
 * @module
 */
import type { Sandbox, SandboxStore } from "@ctrd/core/sandboxes";
import { describe, expect, test } from "vitest";
import { expectKind, expectSame } from "../expectations.ts";
import { commonRecordTests } from "../records/common-tests.ts";
import type { OpenedRecords, OpenRecords, RecordSuiteOptions, WithRecords } from "../records/harness.ts";
import { anyOf, labelsOf, recordHarness } from "../records/harness.ts";
import type { RecordKind } from "../records/kind.ts";

export type { OpenedRecords, OpenRecords, RecordSuiteOptions } from "../records/harness.ts";

const sandboxKind: RecordKind<SandboxStore, Sandbox> = {
  noun: "sandbox",
  idField: "id",
  make: (sandboxId, labels = new Map()) => ({
    sandboxId,
    runtime: { name: "io.containerd.runc.v2", options: anyOf("options") },
    spec: anyOf("spec"),
    labels,
    createdAt: undefined,
    updatedAt: undefined,
    extensions: new Map([["e", anyOf("e")]]),
    sandboxer: "shim",
  }),
  idOf: (sandbox) => sandbox.sandboxId,
  create: (store, ctx, sandbox) => store.create(ctx, sandbox),
  get: (store, ctx, id) => store.get(ctx, id),
  list: (store, ctx, filters) => store.list(ctx, filters),
  update: (store, ctx, sandbox, mask) => store.update(ctx, sandbox, mask),
  delete: (store, ctx, id) => store.delete(ctx, id),
};

/**
 * Defines the tests.
 *
 * @param name shown in the report
 * @param open opens an empty store; `root` is a directory of the test, removed after it
 */
export function sandboxStoreSuite(
  name: string,
  open: OpenRecords<OpenedRecords<SandboxStore>>,
  options: RecordSuiteOptions = {},
): void {
  const withStore = recordHarness(open);
  describe(`sandbox store: ${name}`, () => {
    commonRecordTests(withStore, sandboxKind, options);
    describe("records", () => recordTests(withStore));
    describe("update", () => updateTests(withStore));
  });
}

const sandbox = sandboxKind.make("s1", labelsOf({ a: "1" }));
type WithSandboxes = WithRecords<OpenedRecords<SandboxStore>>;

function recordTests(withStore: WithSandboxes): void {
  test.each<[string, Partial<Sandbox>]>([
    ["an empty id", { sandboxId: "" }],
    ["a malformed id", { sandboxId: "a b" }],
    ["a long id", { sandboxId: "a".repeat(77) }],
    ["no sandboxer", { sandboxer: "" }],
    ["an empty extension key", { extensions: new Map([["", anyOf("x")]]) }],
  ])("a sandbox with %s is refused", (_name, change) =>
    withStore(async ({ store, ctx }) => {
      await expectKind(store.create(ctx, { ...sandbox, ...change }), "invalid-argument");
      expect(await store.list(ctx, [])).toEqual([]);
    })(),
  );

  test(
    "a sandbox may have no more than id and sandboxer",
    withStore(async ({ store, ctx }) => {
      const bare: Sandbox = {
        ...sandbox,
        runtime: undefined,
        spec: undefined,
        extensions: new Map(),
        labels: new Map(),
      };
      const { createdAt, updatedAt } = await store.create(ctx, bare);
      expectSame(await store.get(ctx, "s1"), { ...bare, createdAt, updatedAt });
    }),
  );
}

const wanted: Sandbox = {
  ...sandbox,
  runtime: { name: "io.containerd.runc.v2", options: undefined },
  spec: anyOf("new"),
  labels: labelsOf({ b: "2" }),
  extensions: new Map([["f", anyOf("f")]]),
  sandboxer: "other",
};

function updateTests(withStore: WithSandboxes): void {
  test.each<[string[], Partial<Sandbox>]>([
    [["extensions"], { extensions: wanted.extensions }],
    [["extensions.f"], { extensions: new Map([...sandbox.extensions, ...wanted.extensions]) }],
    [["extensions.e"], { extensions: new Map() }],
    [["spec"], { spec: anyOf("new") }],
    [["runtime"], { runtime: wanted.runtime }],
    [[], { labels: wanted.labels, extensions: wanted.extensions, spec: wanted.spec, runtime: wanted.runtime }],
  ])("the mask %j changes what it names", (mask, change) =>
    withStore(async ({ store, ctx }) => {
      const created = await store.create(ctx, sandbox);
      const updated = await store.update(ctx, wanted, mask);
      expectSame(updated, { ...created, ...change, updatedAt: updated.updatedAt });
      expectSame(await store.get(ctx, "s1"), updated);
    })(),
  );

  test.each<[string[], string, Partial<Sandbox>]>([
    [["sandboxer"], "another sandboxer", {}],
    [["id"], "the same id", {}],
    [["sandbox_id"], "the same id", {}],
    [["extensions."], "other extensions", {}],
    [[], "another runtime", { runtime: { name: "other", options: undefined } }],
    [["extensions"], "an empty extension key", { extensions: new Map([["", anyOf("x")]]) }],
  ])("the mask %j with %s is refused", (mask, _what, change) =>
    withStore(async ({ store, ctx }) => {
      const created = await store.create(ctx, sandbox);
      await expectKind(store.update(ctx, { ...wanted, ...change }, mask), "invalid-argument");
      expectSame(await store.get(ctx, "s1"), created);
    })(),
  );

  test(
    "the runtime's name can be changed by its path",
    withStore(async ({ store, ctx }) => {
      await store.create(ctx, sandbox);
      const renamed = { ...sandbox, runtime: { name: "other", options: undefined } };
      expect((await store.update(ctx, renamed, ["runtime"])).runtime?.name).toBe("other");
    }),
  );
}
