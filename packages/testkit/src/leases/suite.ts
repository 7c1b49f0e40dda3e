/**
 * The conformance suite of lease managers. Call it from a vitest file:
 *
 * ```ts
 * leaseSuite("mine", async (root) => {
 *   const store = await openMyLeases(root);
 *   return { store, ctx: createContext({ namespace: "testing" }), close: () => store.close() };
 * });
 * ```
 *
 * @module
 */
import { digestOf } from "@ctrd/core/digests";
import type { Lease, LeaseManager, LeaseResource } from "@ctrd/core/leases";
import { withNamespace } from "@ctrd/core/context";
import { describe, expect, test } from "vitest";
import { expectError, expectKind, expectSame } from "../expectations.ts";
import { commonRecordTests } from "../records/common-tests.ts";
import type { OpenedRecords, OpenRecords, RecordSuiteOptions, WithRecords } from "../records/harness.ts";
import { labelsOf, recordHarness } from "../records/harness.ts";
import type { RecordKind } from "../records/kind.ts";
import { testWhen } from "../test-when.ts";

export type { OpenedRecords, OpenRecords, RecordSuiteOptions } from "../records/harness.ts";

const leaseKind: RecordKind<LeaseManager, Lease> = {
  noun: "lease",
  idField: "id",
  make: (id, labels = new Map()) => ({ id, labels, createdAt: undefined }),
  idOf: (lease) => lease.id,
  create: (store, ctx, { id, labels }) => store.create(ctx, { id, labels }),
  list: (store, ctx, filters) => store.list(ctx, filters),
  delete: (store, ctx, id) => store.delete(ctx, id),
};

/**
 * Defines the tests.
 *
 * @param name shown in the report
 * @param open opens an empty manager; `root` is a directory of the test, removed after it
 */
export function leaseSuite(
  name: string,
  open: OpenRecords<OpenedRecords<LeaseManager>>,
  options: RecordSuiteOptions = {},
): void {
  const withStore = recordHarness(open);
  describe(`leases: ${name}`, () => {
    commonRecordTests(withStore, leaseKind, options);
    describe("ids", () => idTests(withStore));
    describe("resources", () => resourceTests(withStore, options));
  });
}

type WithLeases = WithRecords<OpenedRecords<LeaseManager>>;

const resources: LeaseResource[] = [
  { type: "content", id: digestOf("x") },
  { type: "images", id: "docker.io/library/x:latest" },
  { type: "ingests", id: "layer-sha256:1" },
  { type: "snapshots/overlayfs", id: "a key of its own" },
];

function idTests(withStore: WithLeases): void {
  test(
    "an empty id is replaced by a new one",
    withStore(async ({ store, ctx }) => {
      const made = await Promise.all(
        Array.from({ length: 50 }, () => store.create(ctx, { id: "", labels: new Map() })),
      );
      expect(new Set(made.map(({ id }) => id)).size).toBe(50);
      for (const { id } of made) expect(id).toMatch(/^\d+-[A-Za-z0-9_-]{4}$/);
      for (const { id } of made) await store.delete(ctx, id);
      expect(await store.list(ctx, [])).toEqual([]);
    }),
  );

  test(
    "ids are free text, as clients such as moby choose them",
    withStore(async ({ store, ctx }) => {
      const id = `moby-image-${digestOf("x")}`;
      const lease = await store.create(ctx, { id, labels: labelsOf({ "containerd.io/gc.flat": "1" }) });
      expectSame(await store.list(ctx, [`id=="${id}"`]), [lease]);
      await store.addResource(ctx, id, { type: "images", id: "x" });
      expect(await store.listResources(ctx, id)).toHaveLength(1);
      await store.delete(ctx, id, { sync: true });
      expect(await store.list(ctx, [])).toEqual([]);
    }),
  );
}

function resourceTests(withStore: WithLeases, options: RecordSuiteOptions): void {
  const sorted = (list: readonly LeaseResource[]): LeaseResource[] =>
    list.map(({ type, id }) => ({ type, id })).toSorted((a, b) => (a.type < b.type ? -1 : 1));

  test(
    "a lease holds resources of every type, each once",
    withStore(async ({ store, ctx }) => {
      await store.create(ctx, { id: "l", labels: new Map() });
      await store.create(ctx, { id: "other", labels: new Map() });
      expect(await store.listResources(ctx, "l")).toEqual([]);
      for (const resource of [...resources, ...resources]) await store.addResource(ctx, "l", resource);
      expect(sorted(await store.listResources(ctx, "l"))).toEqual(sorted(resources));
      expect(await store.listResources(ctx, "other")).toEqual([]);
      await store.deleteResource(ctx, "l", { type: "images", id: resources[1]?.id ?? "" });
      await store.deleteResource(ctx, "l", { type: "images", id: "never there" });
      expect(sorted(await store.listResources(ctx, "l"))).toEqual(
        sorted(resources).filter(({ type }) => type !== "images"),
      );
    }),
  );

  test(
    "a lease that was deleted holds nothing, also when it is made again",
    withStore(async ({ store, ctx }) => {
      await store.create(ctx, { id: "l", labels: new Map() });
      for (const resource of resources) await store.addResource(ctx, "l", resource);
      await store.delete(ctx, "l");
      await expectError(store.listResources(ctx, "l"), "not-found", "l");
      await store.create(ctx, { id: "l", labels: new Map() });
      expect(await store.listResources(ctx, "l")).toEqual([]);
    }),
  );

  test(
    "a missing lease holds nothing",
    withStore(async ({ store, ctx }) => {
      const [resource] = resources as [LeaseResource];
      await store.create(withNamespace(ctx, "elsewhere"), { id: "absent", labels: new Map() });
      await expectError(store.addResource(ctx, "absent", resource), "not-found", "absent");
      await expectError(store.deleteResource(ctx, "absent", resource), "not-found", "absent");
      await expectError(store.listResources(ctx, "absent"), "not-found", "absent");
    }),
  );

  test.each([
    ["content", "no digest", "invalid-argument"],
    ["content", "sha256:abc", "invalid-argument"],
    ["content/x", digestOf("x"), "invalid-argument"],
    ["images/x", "i", "invalid-argument"],
    ["ingests/x", "i", "invalid-argument"],
    ["snapshots", "s", "invalid-argument"],
    ["snapshots/", "s", "invalid-argument"],
    ["snapshots/a/b", "s", "invalid-argument"],
    ["mounts", "m", "not-implemented"],
    ["containers", "c", "not-implemented"],
    ["", "m", "not-implemented"],
  ] as const)("the resource %s %s is refused as %s", (type, id, kind) =>
    withStore(async ({ store, ctx }) => {
      await store.create(ctx, { id: "l", labels: new Map() });
      await expectKind(store.addResource(ctx, "l", { type, id }), kind);
      await expectKind(store.deleteResource(ctx, "l", { type, id }), kind);
      expect(await store.listResources(ctx, "l")).toEqual([]);
    })(),
  );

  testWhen(options.persistent ?? true)(
    "resources survive a restart",
    withStore(async ({ store, ctx }, reopen) => {
      await store.create(ctx, { id: "l", labels: new Map() });
      for (const resource of resources) await store.addResource(ctx, "l", resource);
      const again = await reopen();
      expect(sorted(await again.store.listResources(again.ctx, "l"))).toEqual(sorted(resources));
    }),
  );
}
