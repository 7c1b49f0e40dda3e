import { ContainerdError } from "@ctrd/core/errors";
import type { Mount } from "@ctrd/core/records";
import { expect, it } from "vitest";
import { mountAll, refuseManaged } from "./index.ts";

function mount(type: string, ...options: string[]): Mount {
  return { type, source: "/img", target: "", options };
}

function errorOf(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

const format = mount("format/mkdir/overlay", "X-containerd.mkdir.path={{ mount 0 }}/up", "lowerdir={{ mount 0 }}");

it.each([
  [mount("mkfs/ext4", "X-containerd.mkfs.size=1MiB"), '"mkfs/"'],
  [format, '"format/"'],
  [mount("bind", "rbind", "X-containerd.mkdir.path=/a"), 'option "X-containerd.mkdir.path=/a"'],
])("refuses %o", (one, what) => {
  const error = errorOf(() => mountAll([mount("bind", "rbind"), one], "/nowhere"));
  expect(error).toBeInstanceOf(ContainerdError);
  expect(error).toMatchObject({ kind: "not-implemented" });
  expect(String(error)).toContain(`mount of type "${one.type}" from "/img": ${what} is for containerd's mount manager`);
  expect(String(error)).toContain("use a snapshotter of plain mounts");
});

it("lets through what is plain, and what a shim does itself", () => {
  refuseManaged([mount("bind", "rbind", "ro"), mount("overlay", "lowerdir=/a:/b"), mount("erofs", "loop")]);
  refuseManaged([mount("fuse3.fuse-overlayfs", "lowerdir=/a")]);
  refuseManaged([format], new Set(["mkdir/*", "format/*", "erofs"]));
  expect(errorOf(() => refuseManaged([format], new Set(["format/*"])))).toMatchObject({ kind: "not-implemented" });
  const option = mount("bind", "X-containerd.other=1");
  expect(errorOf(() => refuseManaged([option], new Set(["mkdir/*"])))).toMatchObject({ kind: "not-implemented" });
});
