/** Namespaces of pods. */
import type { IDMapping, NamespaceOption, UserNamespace } from "@ctrd/api/cri/runtime/v1/api";
import { NamespaceMode } from "@ctrd/api/cri/runtime/v1/api";
import { failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { IdMapping, SpecOption } from "@ctrd/oci";
import { compose, withHostNamespace, withMounts, withNamespace, withoutMounts, withUserNamespace } from "@ctrd/oci";

/** Ranges of a pod's user namespace; absent when it is in that of the node. */
export interface UserMappings {
  uids: IdMapping[];
  gids: IdMapping[];
}

/** Namespaces of a sandbox: new ones, the network's given, or those of the node. */
export function withSandboxNamespaces(
  options: NamespaceOption | undefined,
  paths: { network: string; user: string | undefined },
): SpecOption {
  const hostNetwork = usesHostNetwork(options);
  const mappings = userMappings(options?.usernsOptions);
  if (!hostNetwork && paths.network === "") throw failedPrecondition("the pod has no network namespace");
  return compose(
    hostNetwork
      ? compose(withHostNamespace("network"), withHostNamespace("uts"))
      : withNamespace("network", paths.network),
    options?.pid === NamespaceMode.NODE ? withHostNamespace("pid") : () => {},
    options?.ipc === NamespaceMode.NODE ? withHostNamespace("ipc") : () => {},
    withUserMappings(mappings, hostNetwork ? undefined : paths.user),
    hostNetwork && mappings !== undefined ? withHostSysfs() : () => {},
  );
}

/** What {@link withContainerNamespaces} needs. */
export interface ContainerNamespaces {
  options: NamespaceOption | undefined;
  sandboxOptions: NamespaceOption | undefined;
  sandboxPid: number;
  targetPid: number | undefined;
  /** Whether the container gets a cgroup namespace. */
  cgroup: boolean;
}

/** Namespaces of a container: those of its sandbox, and of processes its own, the sandbox's or another container's. */
export function withContainerNamespaces(wanted: ContainerNamespaces): SpecOption {
  const { options, sandboxOptions, sandboxPid, cgroup } = wanted;
  if (!sameUserNamespace(options?.usernsOptions, sandboxOptions?.usernsOptions)) {
    throw invalidArgument("user namespace of the container is not that of its pod (both must have the same mappings)");
  }
  const of = (pid: number, file: string): string => `/proc/${pid}/ns/${file}`;
  const mappings = userMappings(options?.usernsOptions);
  const hostSysfs = usesHostNetwork(sandboxOptions) && mappings !== undefined;
  return compose(
    withNamespace("network", of(sandboxPid, "net")),
    withNamespace("ipc", of(sandboxPid, "ipc")),
    withNamespace("uts", of(sandboxPid, "uts")),
    options?.pid === NamespaceMode.CONTAINER ? () => {} : withNamespace("pid", of(processOwner(wanted), "pid")),
    cgroup ? withNamespace("cgroup") : () => {},
    withUserMappings(mappings, of(sandboxPid, "user")),
    hostSysfs ? withHostSysfs() : () => {},
  );
}

/** Whether the pod is in the node's network namespace. */
export function usesHostNetwork(options: NamespaceOption | undefined): boolean {
  return options?.network === NamespaceMode.NODE;
}

/**
 * The ranges of a user namespace.
 *
 * @returns `undefined` when the pod is in the node's
 * @throws ContainerdError `invalid-argument` for ranges without a namespace, a namespace without them, or more than one
 * (snapshots can be mapped by one only)
 */
export function userMappings(user: UserNamespace | undefined): UserMappings | undefined {
  if (user === undefined) return undefined;
  const [uids, gids] = [oneMapping("UID", user.uids), oneMapping("GID", user.gids)];
  if (user.mode === NamespaceMode.NODE) {
    if (uids.length + gids.length === 0) return undefined;
    throw invalidArgument("user namespace of the node cannot have id mappings");
  }
  if (user.mode !== NamespaceMode.POD) throw invalidArgument(`user namespace mode ${user.mode} (POD and NODE are)`);
  if (uids.length === 0 || gids.length === 0)
    throw invalidArgument("user namespace of a pod needs UID and GID mappings");
  return { uids, gids };
}

/** Mappings of a request as those of specs. */
export function idMappings(mappings: readonly IDMapping[]): IdMapping[] {
  return mappings.map(({ containerId, hostId, length }) => ({
    containerID: containerId,
    hostID: hostId,
    size: length,
  }));
}

function oneMapping(what: string, mappings: readonly IDMapping[]): IdMapping[] {
  if (mappings.length > 1) throw invalidArgument(`user namespace: ${mappings.length} ${what} mappings, one is allowed`);
  if (mappings.some(({ length }) => length < 1)) throw invalidArgument(`user namespace: empty ${what} mapping`);
  return idMappings(mappings);
}

function sameUserNamespace(one: UserNamespace | undefined, other: UserNamespace | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  if (one.mode !== other.mode) return false;
  const ranges = (user: UserNamespace): string =>
    JSON.stringify([oneMapping("UID", user.uids), oneMapping("GID", user.gids)]);
  return ranges(one) === ranges(other);
}

function processOwner({ options, sandboxPid, targetPid }: ContainerNamespaces): number {
  if (options?.pid !== NamespaceMode.TARGET) return sandboxPid;
  if (targetPid === undefined || targetPid <= 0) {
    throw failedPrecondition(`process namespace of container "${options.targetId}": it is not running`);
  }
  return targetPid;
}

function withUserMappings(mappings: UserMappings | undefined, path: string | undefined): SpecOption {
  if (mappings === undefined) return () => {};
  return compose(withUserNamespace(mappings.uids, mappings.gids), withNamespace("user", path));
}

/** In a user namespace the kernel lets nobody mount a sysfs of the node's network: the node's own is bound. */
function withHostSysfs(): SpecOption {
  const options = ["rbind", "rro", "nosuid", "nodev", "noexec"];
  return compose(withoutMounts("/sys"), withMounts({ destination: "/sys", type: "bind", source: "/sys", options }));
}
