/**
 * Performs containerd mounts.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import { failpoints } from "@ctrd/core/failpoints";
import { unavailable } from "@ctrd/core/errors";
import type { Mount } from "@ctrd/core/records";
import { AT_FDCWD, close, openat, openat2, ResolveFlag } from "./at.ts";
import { refuseManaged } from "./managed-mounts.ts";
import { mount, unmount } from "./mount.ts";
import { MountFlag, UnmountFlag } from "./mount-flags.ts";
import { parseMountOptions } from "./mount-options.ts";
import type { ParsedMountOptions } from "./mount-options.ts";
import { OpenFlag } from "./open-flags.ts";
import { mountLongOverlay } from "./overlay-mount.ts";

/** Options longer than this do not fit in the page that `mount(2)` copies. */
const longestData = 4096 - 512;

/** Flags of a mount, not of its file system: a bind mount takes them only when remounted. */
const perMountFlags =
  MountFlag.RdOnly |
  MountFlag.NoSuid |
  MountFlag.NoDev |
  MountFlag.NoExec |
  MountFlag.NoSymFollow |
  MountFlag.NoAtime |
  MountFlag.NoDirAtime |
  MountFlag.RelAtime |
  MountFlag.StrictAtime;

/**
 * Performs `mounts` in order at `target`; a mount's own `target` is a path inside it, and symbolic links on the way
 * cannot lead outside. When one fails those before it are unmounted again.
 *
 * @throws SysError; ContainerdError as `parseMountOptions` and `refuseManaged` do
 */
export function mountAll(mounts: readonly Mount[], target: string): void {
  refuseManaged(mounts);
  const done: string[] = [];
  try {
    for (const one of mounts) {
      if (one.target === "") {
        mountOne(one, target);
        done.push(target);
      } else done.push(mountInside(one, target));
    }
  } catch (error) {
    for (const place of done.reverse()) unmount(place, UnmountFlag.Detach);
    throw error;
  }
}

/** Returns where it mounted. */
function mountInside(one: Mount, root: string): string {
  const rootFd = openat(AT_FDCWD, root, OpenFlag.Path | OpenFlag.Directory);
  try {
    const fd = openat2(rootFd, one.target, OpenFlag.Path, 0, ResolveFlag.InRoot);
    try {
      const place = `/proc/thread-self/fd/${fd}`;
      mountOne(one, place);
      return readlinkSync(place);
    } finally {
      close(fd);
    }
  } finally {
    close(rootFd);
  }
}

function mountOne(one: Mount, target: string): void {
  FAILPOINT: if (failpoints.on) failpoints.hit("mount");
  const helper = /^(fuse3?)\.(.+)$/.exec(one.type);
  if (helper !== null) return mountWithHelper(`mount.${helper[1]}`, helper[2] ?? "", one, target);
  const options = parseMountOptions(one.options);
  const isBind = one.type === "bind" || (options.flags & MountFlag.Bind) !== 0;
  if (isBind) options.flags |= MountFlag.Bind;
  mountFileSystem(one, target, options);
  try {
    const changes = options.flags & perMountFlags;
    if (isBind && changes !== 0) {
      mount("", target, "", changes | MountFlag.Bind | MountFlag.Remount);
    }
    if (options.propagation !== 0) mount("none", target, "", options.propagation);
  } catch (error) {
    unmount(target, UnmountFlag.Detach);
    throw error;
  }
}

function mountFileSystem(one: Mount, target: string, options: ParsedMountOptions): void {
  const fstype = (options.flags & MountFlag.Bind) === 0 ? one.type : "";
  const data = options.data.join(",");
  if (fstype === "overlay" && Buffer.byteLength(data) > longestData) {
    mountLongOverlay(one.source, target, options.flags, options.data);
  } else mount(one.source, target, fstype, options.flags, data);
}

function mountWithHelper(helper: string, kind: string, one: Mount, target: string): void {
  const args = [one.source, target, ...one.options.flatMap((word) => ["-o", word]), "-t", kind];
  const result = spawnSync(helper, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (result.error === undefined && result.status === 0) return;
  const reason = result.error?.message ?? result.stderr.trim();
  throw unavailable(`mount "${target}" with ${helper}: ${reason}`, { cause: result.error });
}
