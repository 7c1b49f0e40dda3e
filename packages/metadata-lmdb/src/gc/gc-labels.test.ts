import { expect, test } from "vitest";
import { isExpired, isFlat, parseRfc3339, readLabels, usedAtOf } from "./labels.ts";
import { nodeOf } from "./nodes.ts";

const read = (key: string, value = "v"): ReturnType<typeof readLabels> => readLabels("ns", new Map([[key, value]]));
const content = nodeOf("content", ["ns", "v"]);
const image = nodeOf("image", ["ns", "v"]);
const container = nodeOf("container", ["ns", "v"]);
const snapshot = nodeOf("snapshot", ["ns", "overlayfs", "v"]);

test.each([
  ["containerd.io/gc.ref.content", [content]],
  ["containerd.io/gc.ref.content.l.0", [content]],
  ["containerd.io/gc.ref.content/x", [content]],
  ["containerd.io/gc.ref.contentx", []],
  ["containerd.io/gc.ref.image", [image]],
  ["containerd.io/gc.ref.image.a", [image]],
  ["containerd.io/gc.ref.image/a", [image]],
  ["containerd.io/gc.ref.images", []],
  ["containerd.io/gc.ref.snapshot.overlayfs", [snapshot]],
  ["containerd.io/gc.ref.snapshot.overlayfs/x/y", [snapshot]],
  ["containerd.io/gc.ref.snapshot", []],
  ["containerd.io/gc.ref.container", []],
  ["containerd.io/gc.ref.other", []],
  ["other.io/gc.ref.content", []],
])("%s refers to %j", (key, refs) => {
  expect(read(key)).toMatchObject({ refs, parents: [], root: false });
});

test.each([
  ["containerd.io/gc.bref.content", [content]],
  ["containerd.io/gc.bref.content.x", [content]],
  ["containerd.io/gc.bref.contents", []],
  ["containerd.io/gc.bref.image/x", [image]],
  ["containerd.io/gc.bref.container", [container]],
  ["containerd.io/gc.bref.container.x", [container]],
  ["containerd.io/gc.bref.snapshot.overlayfs", [snapshot]],
  ["containerd.io/gc.bref.snapshot.overlayfs/x", [snapshot]],
])("%s is kept by %j", (key, parents) => {
  expect(read(key)).toMatchObject({ parents, refs: [], root: false });
});

test("gc.root makes a root whatever its value", () => {
  expect(read("containerd.io/gc.root", "").root).toBe(true);
  expect(read("containerd.io/gc.roo").root).toBe(false);
});

test.each([
  ["usedat<1h|v", [59 * 60_000], [61 * 60_000]],
  ["usedat>1h|v", [61 * 60_000], [59 * 60_000]],
  ["usedat<1h30m|v", [5_399_999], [5_400_000]],
])("condition %s", (value, holding, failing) => {
  const [condition, ...rest] = read("containerd.io/gc.cond.snapshot.overlayfs/x", value).conditions;
  expect(rest).toEqual([]);
  expect(condition?.snapshot).toBe(snapshot);
  for (const age of holding) expect(condition?.holds(age)).toBe(true);
  for (const age of failing) expect(condition?.holds(age)).toBe(false);
});

test("conditions joined by commas are alternatives", () => {
  const { conditions } = read("containerd.io/gc.cond.snapshot/overlayfs", "usedat<1m,usedat>1h|v");
  expect(conditions.map(({ holds }) => holds(1000))).toEqual([true, false]);
});

test.each(["usedat<1h", "usedat=1h|v", "usedat<=1h|v", "usedat!1h|v", "usedat<soon|v", "other<1h|v", "|v", ""])(
  "condition %j is ignored",
  (value) => {
    expect(read("containerd.io/gc.cond.snapshot.overlayfs", value).conditions).toEqual([]);
  },
);

test("a key after the first bar may hold bars", () => {
  const [condition] = read("containerd.io/gc.cond.snapshot.overlayfs", "usedat<1h|a|b").conditions;
  expect(condition?.snapshot).toBe(nodeOf("snapshot", ["ns", "overlayfs", "a|b"]));
});

test.each([
  ["2024-01-02T03:04:05Z", 1_704_164_645_000],
  ["2024-01-02T03:04:05.5Z", 1_704_164_645_500],
  ["2024-01-02T04:04:05+01:00", 1_704_164_645_000],
  ["2024-01-02", undefined],
  ["2024-13-02T03:04:05Z", undefined],
  ["soon", undefined],
  ["", undefined],
])("time %s", (text, millis) => {
  expect(parseRfc3339(text)).toBe(millis);
});

test("expiry, flat and used-at labels", () => {
  const at = new Map([["containerd.io/gc.expire", "2024-01-02T03:04:05Z"]]);
  expect(isExpired(at, 1_704_164_645_001)).toBe(true);
  expect(isExpired(at, 1_704_164_645_000)).toBe(false);
  expect(isExpired(new Map([["containerd.io/gc.expire", "never"]]), 1e15)).toBe(false);
  expect(isExpired(new Map(), 1e15)).toBe(false);
  expect(isFlat(new Map([["containerd.io/gc.flat", "x"]]))).toBe(true);
  expect(isFlat(at)).toBe(false);
  expect(usedAtOf(new Map([["containerd.io/gc.cond.value-usedat", "2024-01-02T03:04:05Z"]]))).toBe(1_704_164_645_000);
  expect(usedAtOf(at)).toBeUndefined();
});
