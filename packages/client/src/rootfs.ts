/**
 * Looking into the root file system of a container that does not run yet.
 *
 * @module
 */
import type { Mount } from "@ctrd/core/records";
import { mountAll, unmountAll, UnmountFlag } from "@ctrd/sys";
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "./client.ts";
import type { Abortable } from "./options.ts";

/** Mounts a snapshot read-only for as long as `use` runs. It needs the rights to mount, on the daemon's machine. */
export async function withMountedRootfs<T>(
  client: Client,
  snapshotter: string,
  key: string,
  options: Abortable,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const mounts = await client.snapshotter(snapshotter).mounts(client.context(options), key);
  const directory = await mkdtemp(join(tmpdir(), "ctrd-rootfs-"));
  try {
    mountAll(mounts.map(readOnly), directory);
    try {
      return await use(directory);
    } finally {
      // A program that is being started has copies of the files that were open here, until it runs: busy for a moment.
      unmountAll(directory, UnmountFlag.Detach);
    }
  } finally {
    await rmdir(directory);
  }
}

/**
 * The same mount without a way to write. An overlay loses its upper directory, which must not be mounted twice. Ids are
 * not mapped: they are read as the image has them.
 */
function readOnly(given: Mount): Mount {
  const mount = { ...given, options: given.options.filter((option) => !/^[ug]idmap=/.test(option)) };
  const valueOf = (name: string): string | undefined =>
    mount.options.find((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
  const upper = mount.type === "overlay" ? valueOf("upperdir") : undefined;
  if (upper === undefined) {
    const options = mount.options.filter((option) => option !== "rw" && option !== "ro");
    return { ...mount, options: [...options, "ro"] };
  }
  const options = mount.options.filter((option) => !/^(?:upperdir|workdir|lowerdir)=/.test(option));
  return { ...mount, options: [...options, `lowerdir=${upper}:${valueOf("lowerdir") ?? ""}`] };
}
