import { withLease } from "@ctrd/core/context";
import type { LeaseManager } from "@ctrd/core/leases";
import { expect, test } from "vitest";
import { expectError } from "../expectations.ts";
import type { WithRecords } from "../records/harness.ts";
import { imageKind } from "./kind.ts";
import type { OpenedImageStore } from "./suite.ts";

/** That new images join the lease of their call. */
export function leaseTests(withStore: WithRecords<OpenedImageStore>): void {
  test(
    "a new image joins the lease of the call, and leaves it when it is deleted with it",
    withStore(async (opened) => {
      const { store, ctx } = opened;
      const leases = leasesOf(opened);
      const { id } = await leases.create(ctx, { id: "l", labels: new Map() });
      await store.create(ctx, imageKind.make("free"));
      await store.create(withLease(ctx, id), imageKind.make("held"));
      expect(await leases.listResources(ctx, id)).toEqual([{ type: "images", id: "held" }]);
      await store.delete(withLease(ctx, id), "held");
      expect(await leases.listResources(ctx, id)).toEqual([]);
    }),
  );

  test(
    "a lease that is missing fails the call, which then makes nothing",
    withStore(async ({ store, ctx }) => {
      const created = store.create(withLease(ctx, "gone"), imageKind.make("x"));
      await expectError(created, "not-found", "gone");
      expect(await store.list(ctx, [])).toEqual([]);
    }),
  );
}

function leasesOf({ leases }: OpenedImageStore): LeaseManager {
  if (leases === undefined) throw new Error("imageStoreSuite: with the option leases, open must return leases too");
  return leases;
}
