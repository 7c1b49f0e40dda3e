/** Mounts that a pod gives to its containers, and volumes that images declare. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { ContainerConfig, IDMapping, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import { Mount, NamespaceMode } from "@ctrd/api/cri/runtime/v1/api";
import type { SpecOption } from "@ctrd/oci";
import { compose, withMounts, withoutMounts } from "@ctrd/oci";
import type { ImageVolume, SandboxFiles } from "./input.ts";
import { cleanPath, isDestinationOf } from "./mount-paths.ts";
import { isThere } from "./present-files.ts";

const nodeShm = "/dev/shm";
const quietOptions = ["rbind", "ro", "nosuid", "nodev", "noexec"];

/** Mounts of the sandbox itself: its `/dev/shm` and `resolv.conf` (which runtimes with a machine of their own read). */
export function withSandboxMounts(config: PodSandboxConfig, files: SandboxFiles): SpecOption {
  const shm = sharesNodeIpc(config.linux?.securityContext) ? nodeShm : files.shm;
  return compose(
    withoutMounts("/dev/shm", "/run"),
    withMounts(
      { destination: "/dev/shm", type: "bind", source: shm, options: [...quietOptions] },
      { destination: "/etc/resolv.conf", type: "bind", source: files.resolvConf, options: [...quietOptions] },
    ),
  );
}

/** The files of the pod that a container gets where it mounts nothing itself. Those that are not there are left out. */
export async function podMounts(config: ContainerConfig, files: SandboxFiles): Promise<Mount[]> {
  const context = config.linux?.securityContext;
  const common = {
    readonly: context?.readonlyRootfs ?? false,
    selinuxRelabel: true,
    ...containerMappings(config),
  };
  const shm = sharesNodeIpc(context) ? nodeShm : files.shm;
  const wanted = [
    { containerPath: "/etc/hostname", hostPath: files.hostname, ...common },
    { containerPath: "/etc/hosts", hostPath: files.hosts, ...common },
    { containerPath: "/etc/resolv.conf", hostPath: files.resolvConf, ...common },
    // No mapping: it is empty, and older kernels cannot map a tmpfs.
    { containerPath: "/dev/shm", hostPath: shm, selinuxRelabel: shm !== nodeShm },
  ].filter(({ containerPath }) => !isDestinationOf(containerPath, config.mounts));
  const present = await Promise.all(wanted.map(({ hostPath }) => isThere(hostPath)));
  return wanted.filter((_mount, index) => present[index]).map((mount) => Mount.create(mount));
}

/**
 * Directories for the volumes that an image declares, where the container mounts nothing itself. Paths that leave the
 * root stay below it.
 */
export function imageVolumes(volumes: readonly string[], config: ContainerConfig, directory: string): ImageVolume[] {
  return [...new Set(volumes.map((path) => cleanPath(path)))]
    .filter((containerPath) => containerPath !== "/" && !isDestinationOf(containerPath, config.mounts))
    .map((containerPath) => ({ hostPath: join(directory, randomBytes(32).toString("hex")), containerPath }));
}

/** The mounts of volumes. */
export function volumeMounts(volumes: readonly ImageVolume[], config: ContainerConfig): Mount[] {
  return volumes.map((volume) => Mount.create({ ...volume, selinuxRelabel: true, ...containerMappings(config) }));
}

interface Mappings {
  uidMappings: IDMapping[];
  gidMappings: IDMapping[];
}

function containerMappings(config: ContainerConfig): Mappings {
  const user = config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  return { uidMappings: user?.uids ?? [], gidMappings: user?.gids ?? [] };
}

function sharesNodeIpc(context: { namespaceOptions: { ipc: NamespaceMode } | undefined } | undefined): boolean {
  return context?.namespaceOptions?.ipc === NamespaceMode.NODE;
}
