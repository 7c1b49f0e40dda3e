/** What a container may do to its node: capabilities, filters, profiles, hidden files. */
import type { Capability, LinuxContainerSecurityContext } from "@ctrd/api/cri/runtime/v1/api";
import type { SpecOption } from "@ctrd/oci";
import {
  compose,
  withAddedCapabilities,
  withAllDevicesAllowed,
  withCapabilities,
  withDroppedCapabilities,
  withMaskedPaths,
  withPrivileged,
  withReadonlyPaths,
} from "@ctrd/oci";
import { withApparmor } from "./apparmor.ts";
import type { SpecEnvironment } from "./environment.ts";
import type { SpecHandler } from "./input.ts";
import { withSeccomp } from "./seccomp.ts";
import { readProfile } from "./security-profile.ts";

/** Meters of energy, from which secrets can be read (GO-2023-2412). Old kubelets do not hide them. */
const powercap = "/sys/devices/virtual/powercap";

/**
 * Capabilities, then what privileged takes away, then AppArmor and seccomp, whose default depends on the capabilities.
 */
export function withAccessRights(
  environment: SpecEnvironment,
  handler: SpecHandler,
  security: LinuxContainerSecurityContext | undefined,
): SpecOption {
  const { settings, host } = environment;
  const privileged = security?.privileged ?? false;
  const seccomp = readProfile(
    "seccomp",
    security?.seccomp,
    security?.seccompProfilePath || settings.unset_seccomp_profile,
  );
  return compose(
    withRequestedCapabilities(security?.capabilities),
    privileged ? withNodeAccess(handler) : () => {},
    withApparmor(readProfile("AppArmor", security?.apparmor, security?.apparmorProfile ?? ""), {
      enabled: host.apparmor && !settings.disable_apparmor,
      privileged,
    }),
    privileged ? () => {} : withSeccomp(seccomp, host.seccomp),
  );
}

/**
 * Files that the container does not see, or cannot write: those that the request names, and no others. That is how
 * Kubernetes asks for an unmasked /proc.
 */
export function withProcPaths(security: LinuxContainerSecurityContext | undefined): SpecOption {
  const masked = security?.maskedPaths ?? [];
  return compose(
    withMaskedPaths(masked.length === 0 || masked.includes(powercap) ? masked : [...masked, powercap]),
    withReadonlyPaths(security?.readonlyPaths ?? []),
  );
}

/** `ALL` stands for every capability and is looked at first, so that others can be taken from it or added to none. */
function withRequestedCapabilities(capabilities: Capability | undefined): SpecOption {
  if (capabilities === undefined) return () => {};
  const { addCapabilities, dropCapabilities } = capabilities;
  return compose(
    addCapabilities.some(isAll) ? withCapabilities("ALL") : () => {},
    dropCapabilities.some(isAll) ? withCapabilities() : () => {},
    withAddedCapabilities(...addCapabilities.filter((name) => !isAll(name))),
    withDroppedCapabilities(...dropCapabilities.filter((name) => !isAll(name))),
  );
}

function isAll(name: string): boolean {
  return name.toUpperCase() === "ALL";
}

function withNodeAccess(handler: SpecHandler): SpecOption {
  if (!handler.privileged_without_host_devices) return withPrivileged();
  return compose(
    withPrivileged({ hostDevices: false }),
    handler.privileged_without_host_devices_all_devices_allowed ? withAllDevicesAllowed() : () => {},
  );
}
