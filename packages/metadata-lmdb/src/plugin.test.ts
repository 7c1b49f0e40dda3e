import { ContentPlugin } from "@ctrd/core/content";
import { createContext } from "@ctrd/core/context";
import type { GcScheduler } from "@ctrd/core/gc";
import { pluginUri } from "@ctrd/core/plugin";
import { expect, test } from "vitest";
import { Bench } from "../test/bench.ts";
import { metadataConfig } from "./config.ts";
import plugins from "./plugin.ts";
import { withSyncDelete } from "./stores/sync-leases.ts";

test("registers the store, the lease manager and the sandbox store under containerd's names", () => {
  const names = plugins.map((plugin) => pluginUri(plugin));
  expect(names).toEqual([
    "io.containerd.metadata.v1.bolt",
    "io.containerd.lease.v1.manager",
    "io.containerd.sandbox.store.v1.local",
  ]);
  expect(plugins[0]?.requires).toContain(ContentPlugin);
});

test("the configuration has containerd's keys and defaults", async () => {
  const validate = metadataConfig.standard["~standard"].validate;
  expect(await validate({})).toEqual({ value: { content_sharing_policy: "shared", no_sync: false } });
  expect((await validate({ content_sharing_policy: "some" })).issues).toHaveLength(1);
  expect(metadataConfig.jsonSchema()).toHaveProperty("properties.content_sharing_policy.enum", ["shared", "isolated"]);
});

test("a lease that is deleted with sync is followed by a collection, and only then", async () => {
  const b = await Bench.open();
  let collections = 0;
  const gc: GcScheduler = {
    async scheduleAndWait(ctx) {
      collections++;
      return b.store.collectGarbage(ctx);
    },
  };
  const leases = withSyncDelete(b.store.leases, gc);
  const labels = new Map<string, string>();
  for (const id of ["one", "two"]) await leases.create(b.ctx, { id, labels });
  await b.blob("a", {}, createContext({ namespace: "ns", lease: "two" }));
  await leases.delete(b.ctx, "one");
  expect(collections).toBe(0);
  await leases.delete(b.ctx, "two", { sync: true });
  expect(collections).toBe(1);
  expect(b.content.blobs.size).toBe(0);
  await expect(leases.delete(b.ctx, "two", { sync: true })).rejects.toThrow("not found");
  expect(collections).toBe(1);
  await leases.create(b.ctx, { id: "three", labels });
  await leases.addResource(b.ctx, "three", { type: "images", id: "i" });
  expect(await leases.listResources(b.ctx, "three")).toHaveLength(1);
  await leases.deleteResource(b.ctx, "three", { type: "images", id: "i" });
  expect(await leases.list(b.ctx, ["id==three"])).toHaveLength(1);
});
