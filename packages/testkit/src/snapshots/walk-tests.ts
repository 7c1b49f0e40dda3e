import type { Labels } from "@ctrd/core/records";
import { expect, it } from "vitest";
import type { CurrentBench } from "./suite.ts";

const label = "containerd.io/snapshot/l";
const tagged = (value: string): Labels => new Map([[label, value]]);

/** `p` and `pl` committed; an active and a view on each; actives without parent. Names with `l` have a label. */
async function makeAll(current: CurrentBench): Promise<void> {
  const { snapshotter, ctx } = current();
  await snapshotter.prepare(ctx, "a-alone", "");
  await current().layer("p", "");
  await snapshotter.prepare(ctx, "a", "p");
  await snapshotter.view(ctx, "v", "p");
  await current().layer("pl", "", () => {}, { labels: tagged("1") });
  await snapshotter.prepare(ctx, "al", "pl", { labels: tagged("2") });
  await snapshotter.view(ctx, "vl", "pl", { labels: tagged("3") });
  await snapshotter.prepare(ctx, "al-alone", "", { labels: tagged("2") });
}

/** Walk, its filters, and what may happen during it. */
export function walkTests(current: CurrentBench): void {
  it.each([
    { filters: [], names: ["a", "a-alone", "al", "al-alone", "p", "pl", "v", "vl"] },
    { filters: ["kind==active"], names: ["a", "a-alone", "al", "al-alone"] },
    { filters: ["kind==view"], names: ["v", "vl"] },
    { filters: ["kind==committed"], names: ["p", "pl"] },
    { filters: ["kind==nonsense"], names: [] },
    { filters: ["name==p"], names: ["p"] },
    { filters: ["name~=^a"], names: ["a", "a-alone", "al", "al-alone"] },
    { filters: ["parent==p"], names: ["a", "v"] },
    { filters: ["kind==active,parent==p"], names: ["a"] },
    // containerd asks remote snapshotters for their lowest layers in this way.
    { filters: [`labels."${label}"==1,parent==""`], names: ["pl"] },
    { filters: ['kind==active,parent==""'], names: ["a-alone", "al-alone"] },
    { filters: [`labels."${label}"`], names: ["al", "al-alone", "pl", "vl"] },
    { filters: [`labels."${label}"==2`], names: ["al", "al-alone"] },
    { filters: [`labels."${label}"==2,parent==pl`], names: ["al"] },
    { filters: [`kind==view,labels."${label}"==3`, "name==p"], names: ["p", "vl"] },
    { filters: [`labels."${label}"!=2,kind==active`], names: ["a", "a-alone"] },
  ])("filters with $filters", async ({ filters, names }) => {
    await makeAll(current);
    expect(await current().names(filters)).toEqual(names);
  });

  it("refuses malformed filters", async () => {
    await expect(current().names(["kind=="])).rejects.toMatchObject({ kind: "invalid-argument" });
  });

  it("yields what stat returns", async () => {
    const { snapshotter, ctx } = current();
    await makeAll(current);
    for (const info of await current().walk()) expect(await snapshotter.stat(ctx, info.name)).toEqual(info);
  });

  it("bears calls between two steps", async () => {
    const { snapshotter, ctx } = current();
    await makeAll(current);
    const seen: string[] = [];
    for await (const info of snapshotter.walk(ctx, [])) {
      seen.push(info.name);
      expect((await snapshotter.stat(ctx, info.name)).name).toBe(info.name);
      await snapshotter.prepare(ctx, `during ${info.name}`, "");
      if (info.name === "a-alone") await snapshotter.remove(ctx, "a-alone");
    }
    expect(seen).toEqual(expect.arrayContaining(["a", "al", "p", "pl", "v", "vl"]));
    expect(new Set(seen).size).toBe(seen.length);
  });

  it("may be left early", async () => {
    const { snapshotter, ctx } = current();
    await makeAll(current);
    for await (const info of snapshotter.walk(ctx, ["name==p"])) {
      expect(info.name).toBe("p");
      break;
    }
    expect((await current().walk()).length).toBe(8);
  });
}
