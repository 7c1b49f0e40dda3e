import { describe, expect, it } from "vitest";
import { parseKernelVersion } from "./kernel-version.ts";
import { MountFlag } from "./mount-flags.ts";
import { parseMountInfo } from "./mount-info.ts";
import { parseMountOptions } from "./mount-options.ts";
import { commonDirectory } from "./overlay-mount.ts";

describe("parseMountOptions", () => {
  it("splits words into flags, propagation and data", () => {
    expect(parseMountOptions(["rbind", "ro", "nosuid", "rslave", "lowerdir=/a:/b", "index=off"])).toEqual({
      flags: MountFlag.Bind | MountFlag.Rec | MountFlag.RdOnly | MountFlag.NoSuid,
      propagation: MountFlag.Slave | MountFlag.Rec,
      data: ["lowerdir=/a:/b", "index=off"],
    });
  });

  it("lets a later word win", () => {
    expect(parseMountOptions(["ro", "nodev", "rw", "dev"]).flags).toBe(0);
    expect(parseMountOptions(["rw", "ro"]).flags).toBe(MountFlag.RdOnly);
  });

  it.each([
    [["X-containerd.mkfs.size=1"], "invalid-argument"],
    [["uidmap=0:1:2"], "invalid-argument"],
    [["gidmap=0:1:2"], "invalid-argument"],
    [["uidmap=0:1:2", "gidmap=0:1:2"], "not-implemented"],
    [["loop"], "not-implemented"],
  ])("refuses %j", (options, kind) => {
    expect(() => parseMountOptions(options)).toThrow(expect.objectContaining({ kind }));
  });
});

describe("parseMountInfo", () => {
  it("reads optional fields and escapes", () => {
    const text = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue\n";
    expect(parseMountInfo(text)).toEqual([
      {
        id: 36,
        parent: 35,
        device: "98:0",
        root: "/mnt1",
        mountPoint: "/mnt 2",
        options: ["rw", "noatime"],
        tags: ["shared:1", "master:2"],
        fstype: "ext3",
        source: "/dev/root",
        superOptions: ["rw", "errors=continue"],
      },
    ]);
  });
});

describe("commonDirectory", () => {
  it.each([
    [["/a/b/1/fs", "/a/b/2/fs"], "/a/b"],
    [["/a/b/1", "/c/1"], ""],
    [["/a/b"], "/a"],
  ])("of %j is %j", (paths, directory) => {
    expect(commonDirectory(paths)).toBe(directory);
  });
});

describe("parseKernelVersion", () => {
  it.each([
    ["6.18.44-fc-v669", { major: 6, minor: 18, patch: 44 }],
    ["5.4", { major: 5, minor: 4, patch: 0 }],
    ["odd", { major: 0, minor: 0, patch: 0 }],
  ])("of %s", (text, version) => {
    expect(parseKernelVersion(text)).toEqual(version);
  });
});
