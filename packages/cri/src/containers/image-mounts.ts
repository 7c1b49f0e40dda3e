/**
 * Image volumes: mounts whose source is an image.
 *
 * @module
 */
import { mkdir, readlink, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerConfig, Mount } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { errnoOf, invalidArgument, notFound } from "@ctrd/core/errors";
import {
  AT_FDCWD,
  close,
  hasErrno,
  mountAll,
  openat,
  openat2,
  OpenFlag,
  ResolveFlag,
  unmountAll,
  UnmountFlag,
} from "@ctrd/sys";
import { containerState } from "../sandboxes/layout.ts";
import type { Cri } from "../store/cri.ts";
import { removeRootfs, viewImage } from "./rootfs.ts";

/** A container's configuration with the places of images as host paths. */
export async function mountImages(
  cri: Cri,
  ctx: CallContext,
  id: string,
  config: ContainerConfig,
  snapshotter: string,
): Promise<ContainerConfig> {
  const mounts: Mount[] = [];
  for (const [index, mount] of config.mounts.entries()) {
    mounts.push(mount.image === undefined ? mount : await mountImage(cri, ctx, { id, index, mount, snapshotter }));
  }
  return { ...config, mounts };
}

interface ImageMount {
  readonly id: string;
  readonly index: number;
  readonly mount: Mount;
  readonly snapshotter: string;
}

async function mountImage(cri: Cri, ctx: CallContext, { id, index, mount, snapshotter }: ImageMount): Promise<Mount> {
  const wanted = mount.image?.image ?? "";
  if (mount.hostPath !== "") throw invalidArgument(`mount ${mount.containerPath}: it names an image and a host path`);
  const image = cri.images.find(wanted);
  if (image === undefined) throw notFound(`image "${wanted}" of mount ${mount.containerPath}; pull it first`);
  const key = keyOf(id, index);
  await viewImage(cri.client, ctx, { image, snapshotter, key });
  const directory = directoryOf(cri, id, index);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const layers = await cri.client.snapshotter(snapshotter).mounts(ctx, key);
  mountAll(layers, directory);
  const hostPath = mount.imageSubPath === "" ? directory : await inside(directory, mount);
  return { ...mount, hostPath, readonly: true };
}

/** The path below an image; links stay inside of it. */
async function inside(directory: string, { imageSubPath, containerPath }: Mount): Promise<string> {
  const root = openat(AT_FDCWD, directory, OpenFlag.RdOnly | OpenFlag.Directory);
  try {
    const found = openat2(root, imageSubPath, OpenFlag.Path, 0, ResolveFlag.InRoot);
    try {
      return await readlink(`/proc/self/fd/${found}`);
    } finally {
      close(found);
    }
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw error;
    throw notFound(`mount ${containerPath}: image_sub_path "${imageSubPath}" in the image`, { cause: error });
  } finally {
    close(root);
  }
}

/** Unmounts the images of a container and removes their snapshots. What is gone already is fine. */
export async function unmountImages(
  cri: Cri,
  ctx: CallContext,
  id: string,
  config: ContainerConfig,
  snapshotter: string,
): Promise<void> {
  for (const [index, mount] of config.mounts.entries()) {
    if (mount.image === undefined) continue;
    const directory = directoryOf(cri, id, index);
    unmountAll(directory, UnmountFlag.Detach);
    try {
      await rmdir(directory);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
    await removeRootfs(cri.client, ctx, snapshotter, keyOf(id, index));
  }
}

function keyOf(id: string, index: number): string {
  return `${id}-image-${index}`;
}

function directoryOf(cri: Cri, id: string, index: number): string {
  return join(containerState(cri.directories, id), "images", String(index));
}
