/** Mounts of containers: those of the request and of the pod over those that every container has. */
import { lstat, mkdir, readFile, realpath, stat } from "node:fs/promises";
import { posix } from "node:path";
import type { Mount as CriMount } from "@ctrd/api/cri/runtime/v1/api";
import { MountPropagation } from "@ctrd/api/cri/runtime/v1/api";
import { errnoOf, failedPrecondition, invalidArgument, messageOf } from "@ctrd/core/errors";
import type { Mount, Spec, SpecOption } from "@ctrd/oci";
import { isDestinationOf, cleanPath } from "./mount-paths.ts";
import { idMappings } from "./namespaces.ts";
import { isThere } from "./present-files.ts";
import { requirePropagation } from "./propagation.ts";
import { relabelTree } from "./relabel.ts";

/** What {@link withContainerMounts} needs. */
export interface ContainerMounts {
  /** Mounts of the request. */
  mounts: readonly CriMount[];
  /** Mounts of the pod and of the image; one of the request on the same place wins. */
  extra: readonly CriMount[];
  /** Whether `/sys/fs/cgroup` is the unified tree. */
  cgroup2: boolean;
  /** Whether the container may write its own cgroup. */
  cgroupWritable: boolean;
  /** SELinux label for mounts that are to be relabelled; "" without SELinux. */
  mountLabel: string;
  /** Whether kernel and runtime make mounts read-only with all below them. */
  recursiveReadOnly: boolean;
}

/** Adds the mounts, those higher up first, and missing directories on the host. */
export function withContainerMounts(wanted: ContainerMounts): SpecOption {
  const { mounts, extra } = wanted;
  const all = [...mounts, ...extra.filter((mount) => !isDestinationOf(mount.containerPath, mounts))];
  const sorted = all.toSorted((one, other) => depth(one.containerPath) - depth(other.containerPath));
  for (const mount of sorted) checkMount(mount, wanted.recursiveReadOnly);
  return async (context, spec) => {
    await addCgroupMount(spec, wanted);
    spec.mounts = (spec.mounts ?? []).filter((mount) => !isCovered(mount.destination, sorted));
    for (const mount of sorted) {
      const source = await hostSource(mount.hostPath);
      await allowPropagation(spec, mount, source);
      if (mount.selinuxRelabel && wanted.mountLabel !== "") {
        await relabelTree(source, wanted.mountLabel, context.signal);
      }
      spec.mounts.push(toMount(mount, source));
    }
  };
}

function depth(path: string): number {
  return cleanPath(path).split("/").length;
}

/** Whether a mount that every container has gives way to one of these, or to one on /dev that has its own. */
function isCovered(destination: string, mounts: readonly CriMount[]): boolean {
  const path = cleanPath(destination);
  return isDestinationOf(path, mounts) || (path.startsWith("/dev/") && isDestinationOf("/dev", mounts));
}

function checkMount(mount: CriMount, recursiveReadOnly: boolean): void {
  const { hostPath, containerPath, readonly } = mount;
  for (const path of [hostPath, containerPath]) {
    if (path === "" || path.includes("\0")) {
      throw invalidArgument(
        `mount of ${JSON.stringify(hostPath)} on ${JSON.stringify(containerPath)}: a path is empty`,
      );
    }
  }
  if (!posix.isAbsolute(hostPath)) throw invalidArgument(`mount of "${hostPath}": the host path is not absolute`);
  if (!mount.recursiveReadOnly) return;
  if (!readonly) {
    throw invalidArgument(
      `mount of "${hostPath}" is recursively read-only, but not read-only (hostPath="${hostPath}")`,
    );
  }
  if (!recursiveReadOnly) {
    // kubelet looks for the first word.
    throw failedPrecondition(
      `RROUnsupported: runtime handler or kernel does not support recursive read-only mounts (hostPath="${hostPath}")`,
    );
  }
  if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
    throw invalidArgument(`mount of "${hostPath}": recursive read-only mounts need private propagation`);
  }
}

/** What is to be mounted: links are followed, a missing directory is made as kubelets expect. */
async function hostSource(hostPath: string): Promise<string> {
  try {
    return (await lstat(hostPath)).isSymbolicLink() ? await realpath(hostPath) : hostPath;
  } catch (cause) {
    if (errnoOf(cause) !== "ENOENT") {
      throw invalidArgument(`mount source "${hostPath}" cannot be read: ${messageOf(cause)}`, { cause });
    }
  }
  try {
    await makeDirectory(hostPath);
    return hostPath;
  } catch (cause) {
    throw failedPrecondition(`mount source "${hostPath}" is missing and cannot be made: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** Not by Node's recursive mkdir: that never ends where the kernel refuses a directory with ENOENT, as in /proc. */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, 0o755);
  } catch (error) {
    // Another call made it.
    if (errnoOf(error) === "EEXIST" && (await stat(path)).isDirectory()) return;
    const parent = posix.dirname(path);
    if (errnoOf(error) !== "ENOENT" || parent === path || (await isThere(parent))) throw error;
    await makeDirectory(parent);
    await mkdir(path, 0o755);
  }
}

/** Checks the host's mount and lets the root filesystem pass on what is mounted later. */
async function allowPropagation(spec: Spec, mount: CriMount, source: string): Promise<void> {
  const linux = (spec.linux ??= {});
  if (mount.propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL) {
    await requirePropagation(source, ["shared"]);
    linux.rootfsPropagation = "rshared";
  } else if (mount.propagation === MountPropagation.PROPAGATION_HOST_TO_CONTAINER) {
    await requirePropagation(source, ["shared", "master"]);
    if (linux.rootfsPropagation !== "rshared") linux.rootfsPropagation = "rslave";
  }
}

function toMount(mount: CriMount, source: string): Mount {
  const { containerPath: destination, readonly, uidMappings, gidMappings } = mount;
  const access = mount.recursiveReadOnly ? "rro" : readonly ? "ro" : "rw";
  const options = ["rbind", propagationOption(mount.propagation), access];
  return {
    destination,
    type: "bind",
    source,
    options,
    ...(uidMappings.length === 0 ? {} : { uidMappings: idMappings(uidMappings) }),
    ...(gidMappings.length === 0 ? {} : { gidMappings: idMappings(gidMappings) }),
  };
}

function propagationOption(propagation: MountPropagation): string {
  if (propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL) return "rshared";
  if (propagation === MountPropagation.PROPAGATION_HOST_TO_CONTAINER) return "rslave";
  return "rprivate";
}

/**
 * The cgroup filesystem. A container in the cgroup namespace of the node mounts the node's unified tree: the options of
 * its one superblock must stay as they are there.
 */
async function addCgroupMount(spec: Spec, { cgroup2, cgroupWritable }: ContainerMounts): Promise<void> {
  const options = ["nosuid", "noexec", "nodev", "relatime", cgroupWritable ? "rw" : "ro"];
  const hasNamespace = spec.linux?.namespaces?.some(({ type }) => type === "cgroup") === true;
  if (cgroup2 && !hasNamespace) options.push(...(await hostCgroupOptions()));
  (spec.mounts ??= []).push({ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options });
}

async function hostCgroupOptions(): Promise<string[]> {
  const mounts = await readFile("/proc/self/mounts", "utf8");
  const line = mounts.split("\n").findLast((each) => each.split(" ")[1] === "/sys/fs/cgroup");
  const options = line?.split(" ")[3]?.split(",") ?? [];
  return options.filter((option) => option === "nsdelegate" || option === "memory_recursiveprot");
}
