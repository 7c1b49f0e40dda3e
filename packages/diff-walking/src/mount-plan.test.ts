import type { Mount } from "@ctrd/core/records";
import { describe, expect, it } from "vitest";
import { planApply, planCompare } from "./mount-plan.ts";

const mount = (type: string, source: string, ...options: string[]): Mount => ({ type, source, target: "", options });
const active = mount("overlay", "overlay", "index=off", "workdir=/w", "upperdir=/u", "lowerdir=/b:/a");

describe("planApply", () => {
  it.each<[string, Mount[], object]>([
    ["overlay", [active], { kind: "directory", root: "/u", overlay: true, lowers: ["/b", "/a"] }],
    ["bind", [mount("bind", "/s", "rw", "rbind")], { kind: "directory", root: "/s", overlay: false, lowers: [] }],
    ["read-only overlay", [mount("overlay", "overlay", "lowerdir=/b:/a")], { kind: "mounts" }],
    ["id-mapped bind", [mount("bind", "/s", "uidmap=0:1:1", "gidmap=0:1:1", "rbind")], { kind: "mounts" }],
    ["bind of a part", [{ ...mount("bind", "/s", "rbind"), target: "etc" }], { kind: "mounts" }],
    ["two mounts", [mount("bind", "/s", "rbind"), active], { kind: "mounts" }],
  ])("%s", (_, mounts, plan) => {
    expect(planApply(mounts)).toMatchObject(plan);
  });

  it("reads escaped colons", () => {
    const plan = planApply([mount("overlay", "overlay", "upperdir=/u", "lowerdir=/a\\:b:/c\\\\d")]);
    expect(plan).toMatchObject({ lowers: ["/a:b", "/c\\d"] });
  });
});

describe("planCompare", () => {
  const view = mount("overlay", "overlay", "lowerdir=/b:/a", "index=off");

  it("mounts an overlay read-only, and is guided by its upper directory", () => {
    expect(planCompare([view], [active])).toEqual({
      lower: { kind: "mounts", mounts: [{ ...view, options: ["index=off", "ro", "lowerdir=/b:/a"] }] },
      upper: { kind: "mounts", mounts: [{ ...view, options: ["index=off", "ro", "lowerdir=/u:/b:/a"] }] },
      guide: "/u",
    });
  });

  it.each<[string, Mount[], string | undefined]>([
    ["a bind of the only lower", [mount("bind", "/a", "ro", "rbind")], undefined],
    ["other lowers", [mount("overlay", "overlay", "lowerdir=/c:/a")], undefined],
    [
      "an overlay whose layers are the lowers",
      [mount("overlay", "overlay", "upperdir=/b", "workdir=/x", "lowerdir=/a")],
      "/u",
    ],
    ["nothing", [], undefined],
  ])("with %s on the left", (_, lower, guide) => {
    expect(planCompare(lower, [active]).guide).toBe(guide);
  });

  it("reads directories without mounting", () => {
    const single = mount("overlay", "overlay", "workdir=/w", "upperdir=/u", "lowerdir=/a");
    expect(planCompare([mount("bind", "/a", "ro", "rbind")], [single])).toMatchObject({
      lower: { kind: "directory", path: "/a" },
      guide: "/u",
    });
    expect(planCompare([], [mount("bind", "/u", "rw", "rbind")])).toEqual({
      lower: { kind: "empty" },
      upper: { kind: "directory", path: "/u" },
      guide: undefined,
    });
  });
});

it("refuses what only a mount manager can do, also where nothing would be mounted", () => {
  const made = mount("overlay", "overlay", "X-containerd.mkdir.path=/u:0755", "upperdir=/u", "lowerdir=/a");
  const refusal = expect.objectContaining({
    kind: "not-implemented",
    message: expect.stringContaining("mount manager"),
  });
  expect(() => planApply([made])).toThrow(refusal);
  expect(() => planCompare([], [mount("bind", "/a", "rbind"), mount("format/bind", "/b")])).toThrow(refusal);
});
