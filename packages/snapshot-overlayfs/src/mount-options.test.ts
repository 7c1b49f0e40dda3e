import { SnapshotKind } from "@ctrd/core/snapshots";
import { SnapshotDirectories } from "@ctrd/storage";
import type { SnapshotChain } from "@ctrd/storage";
import { describe, expect, it } from "vitest";
import { mappedRoot } from "./id-mapping.ts";
import { extraOptions, snapshotMounts } from "./mount-options.ts";
import type { OverlayFeatures } from "./mount-options.ts";

const directories = new SnapshotDirectories("/r");
const plain: OverlayFeatures = { userXattr: false, index: true, idMapped: true };
const mapping = new Map([
  ["containerd.io/snapshot/uidmapping", "0:1000:65536"],
  ["containerd.io/snapshot/gidmapping", "0:2000:65536,65536:0:1"],
]);

function chain(kind: 1 | 2, parentIds: string[], labels: Map<string, string> = new Map()): SnapshotChain {
  const info = { name: "key", parent: "p", kind, createdAt: undefined, updatedAt: undefined, labels };
  return { record: { id: "9", info, usage: { size: 0n, inodes: 0n } }, parentIds };
}

describe("snapshotMounts", () => {
  const mapped = ["uidmap=0:1000:65536", "gidmap=0:2000:65536,65536:0:1"];
  const cases = [
    {
      name: "active, 0",
      kind: SnapshotKind.Active,
      parents: [],
      type: "bind",
      source: "/r/snapshots/9/fs",
      options: ["rw", "rbind"],
    },
    {
      name: "view, 0",
      kind: SnapshotKind.View,
      parents: [],
      type: "bind",
      source: "/r/snapshots/9/fs",
      options: ["ro", "rbind"],
    },
    {
      name: "view, 1",
      kind: SnapshotKind.View,
      parents: ["3"],
      type: "bind",
      source: "/r/snapshots/3/fs",
      options: ["ro", "rbind"],
    },
    {
      name: "active, 1",
      kind: SnapshotKind.Active,
      parents: ["3"],
      type: "overlay",
      source: "overlay",
      options: [
        "workdir=/r/snapshots/9/work",
        "upperdir=/r/snapshots/9/fs",
        "lowerdir=/r/snapshots/3/fs",
        "volatile",
        "index=off",
      ],
    },
    {
      name: "active, 3",
      kind: SnapshotKind.Active,
      parents: ["5", "4", "1"],
      type: "overlay",
      source: "overlay",
      options: [
        "workdir=/r/snapshots/9/work",
        "upperdir=/r/snapshots/9/fs",
        "lowerdir=/r/snapshots/5/fs:/r/snapshots/4/fs:/r/snapshots/1/fs",
        "volatile",
        "index=off",
      ],
    },
    {
      name: "view, 2",
      kind: SnapshotKind.View,
      parents: ["5", "4"],
      type: "overlay",
      source: "overlay",
      options: ["lowerdir=/r/snapshots/5/fs:/r/snapshots/4/fs", "volatile", "index=off"],
    },
  ];

  it.each(cases)("$name parents", ({ kind, parents, type, source, options }) => {
    const extra = extraOptions(["volatile"], plain);
    const expected = { type, source, target: "", options };
    expect(snapshotMounts(directories, chain(kind, parents), extra, plain)).toEqual([expected]);
    const withMapping = { ...expected, options: [...mapped, ...options] };
    expect(snapshotMounts(directories, chain(kind, parents, mapping), extra, plain)).toEqual([withMapping]);
    const old = { ...plain, idMapped: false };
    expect(snapshotMounts(directories, chain(kind, parents, mapping), extra, old)).toEqual([expected]);
  });
});

describe("extraOptions", () => {
  it.each([
    { configured: [], features: plain, options: ["index=off"] },
    { configured: [], features: { ...plain, index: false }, options: [] },
    {
      configured: ["metacopy=on", "x"],
      features: { ...plain, userXattr: true },
      options: ["metacopy=on", "x", "userxattr", "index=off"],
    },
    { configured: ["userxattr"], features: { ...plain, userXattr: true }, options: ["userxattr", "index=off"] },
    { configured: ["index=on"], features: plain, options: ["index=on"] },
    { configured: ["indexes"], features: plain, options: ["indexes", "index=off"] },
  ])("$configured → $options", ({ configured, features, options }) => {
    expect(extraOptions(configured, features)).toEqual(options);
  });
});

describe("mappedRoot", () => {
  const labels = (uids?: string, gids?: string): Map<string, string> => {
    const map = new Map<string, string>();
    if (uids !== undefined) map.set("containerd.io/snapshot/uidmapping", uids);
    if (gids !== undefined) map.set("containerd.io/snapshot/gidmapping", gids);
    return map;
  };

  it("finds the host ids of id 0", () => {
    expect(mappedRoot(labels())).toBeUndefined();
    expect(mappedRoot(mapping)).toEqual({ uid: 1000, gid: 2000 });
    expect(mappedRoot(labels("1:5:9,0:7:1", "0:4294967294:1"))).toEqual({ uid: 7, gid: 4294967294 });
  });

  it.each([
    "",
    "0:1",
    "0:1:0",
    "-1:0:1",
    "0:1:2:3",
    "a:b:c",
    "0:0:4294967296",
    "0:4294967295:1",
    "0:1:2,",
    "1:0:1",
    "0x0:1:1",
  ])("refuses %j", (text) => {
    expect(() => mappedRoot(labels(text, "0:0:1"))).toThrow(expect.objectContaining({ kind: "invalid-argument" }));
    expect(() => mappedRoot(labels("0:0:1", text))).toThrow(expect.objectContaining({ kind: "invalid-argument" }));
  });

  it("wants both", () => {
    expect(() => mappedRoot(labels("0:0:1"))).toThrow(/gidmapping.*missing/);
    expect(() => mappedRoot(labels(undefined, "0:0:1"))).toThrow(/uidmapping.*missing/);
  });
});
