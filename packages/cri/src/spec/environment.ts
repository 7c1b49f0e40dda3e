/** What specs depend on besides the request: the configuration, the kernel and the host. */
import type { Logger } from "@ctrd/core/log";
import type { RuntimeConfig } from "../config/runtime-config.ts";
import { BaseSpecs } from "./base-spec.ts";
import type { HostFeatures } from "./host-features.ts";
import { detectHostFeatures } from "./host-features.ts";
import { SelinuxLabels } from "./selinux.ts";

/** The part of the configuration that changes specs. */
export type SpecSettings = Pick<
  RuntimeConfig,
  | "enable_selinux"
  | "selinux_category_range"
  | "disable_apparmor"
  | "restrict_oom_score_adj"
  | "disable_proc_mount"
  | "unset_seccomp_profile"
  | "tolerate_missing_hugetlb_controller"
  | "disable_hugetlb_controller"
  | "device_ownership_from_security_context"
  | "ignore_image_defined_volumes"
  | "enable_unprivileged_ports"
  | "enable_unprivileged_icmp"
  | "enable_cdi"
  | "cdi_spec_dirs"
> & {
  containerd: Pick<RuntimeConfig["containerd"], "ignore_blockio_not_enabled_errors" | "ignore_rdt_not_enabled_errors">;
};

/** See {@link openSpecEnvironment}. */
export interface SpecEnvironment {
  readonly settings: SpecSettings;
  readonly host: HostFeatures;
  /** Labels in use; none are given without SELinux. */
  readonly selinux: SelinuxLabels;
  /** `base_runtime_spec` files, read once. */
  readonly baseSpecs: BaseSpecs;
}

/** Looks at the host once. Labels of pods that run already are told to `selinux.reserve` by the caller. */
export async function openSpecEnvironment(settings: SpecSettings, log: Logger): Promise<SpecEnvironment> {
  const host = await detectHostFeatures();
  const labelled = settings.enable_selinux && host.selinux;
  if (settings.enable_selinux && !host.selinux) log.warn({}, "enable_selinux is set, but SELinux is not enabled here");
  const selinux = labelled ? await SelinuxLabels.open(settings.selinux_category_range) : SelinuxLabels.disabled();
  return { settings, host, selinux, baseSpecs: new BaseSpecs() };
}
