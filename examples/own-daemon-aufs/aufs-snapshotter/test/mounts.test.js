import { SnapshotKind } from "@ctrd/core/snapshots";
import { describe, expect, test } from "vitest";
import { probe, snapshotMounts } from "aufs-snapshotter";

/**
 * @param {import("@ctrd/core/snapshots").SnapshotKind} kind
 * @param {string[]} parentIds
 */
function mountsOf(kind, ...parentIds) {
  const time = { seconds: 0n, nanos: 0 };
  const info = { name: "key", parent: "", kind, createdAt: time, updatedAt: time, labels: new Map() };
  const record = { id: "9", info, usage: { size: 0n, inodes: 0n } };
  return snapshotMounts({ record, parentIds }, (id) => `/s/${id}/fs`, ["dirperm1"]);
}

describe("mounts", () => {
  test("without a parent the directory itself", () => {
    expect(mountsOf(SnapshotKind.Active)).toEqual([
      { type: "bind", source: "/s/9/fs", target: "", options: ["rbind", "rw"] },
    ]);
  });

  test("an active snapshot lies on its parents, nearest first", () => {
    expect(mountsOf(SnapshotKind.Active, "3", "2")).toEqual([
      {
        type: "aufs",
        source: "none",
        target: "",
        options: ["br=/s/9/fs=rw+wh:/s/3/fs=ro+wh:/s/2/fs=ro+wh", "dirperm1"],
      },
    ]);
  });

  test("a view shows its parents only", () => {
    expect(mountsOf(SnapshotKind.View, "3")).toEqual([
      { type: "bind", source: "/s/3/fs", target: "", options: ["rbind", "ro"] },
    ]);
    expect(mountsOf(SnapshotKind.View, "3", "2")).toEqual([
      { type: "aufs", source: "none", target: "", options: ["ro", "br=/s/3/fs=ro+wh:/s/2/fs=ro+wh", "dirperm1"] },
    ]);
  });

  test("more layers than the kernel takes are refused with a remedy", () => {
    const ids = Array.from({ length: 400 }, (_, i) => String(i));
    expect(() => mountsOf(SnapshotKind.Active, ...ids)).toThrow(/its 400 layers need \d+ bytes.*shorter root_path/);
  });
});

test("aufs is found in /proc/filesystems", () => {
  expect(probe("nodev\tsysfs\nnodev\taufs\n\text4\n")).toBeUndefined();
  expect(probe("nodev\tsysfs\n\text4\n")).toMatchObject({ reason: expect.stringContaining("no aufs") });
});
