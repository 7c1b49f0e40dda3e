/** Specs of sandboxes: the pause container that holds a pod's namespaces. */
import type { LinuxSandboxSecurityContext, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import type { SpecOption } from "@ctrd/oci";
import {
  compose,
  createSpec,
  withAnnotations,
  withCpu,
  withHostname,
  withReadonlyRoot,
  withSelinuxLabel,
  withSysctls,
  withWritableSysfs,
} from "@ctrd/oci";
import { passedAnnotations, sandboxAnnotations } from "./annotations.ts";
import type { SpecEnvironment } from "./environment.ts";
import type { LabelledSpec, SandboxSpecInput } from "./input.ts";
import { userMappings, usesHostNetwork, withSandboxNamespaces } from "./namespaces.ts";
import { withSandboxProcess } from "./process.ts";
import { withOomScore, withPodCgroup } from "./resources.ts";
import { withSandboxMounts } from "./sandbox-mounts.ts";
import { withSeccomp } from "./seccomp.ts";
import { readProfile } from "./security-profile.ts";
import { keptLabel, processLabelOf, specContext, systemdCgroup, withoutDefaultLimits } from "./spec-context.ts";
import { withSandboxUser } from "./users.ts";

/** The sandbox does nothing: it gets next to no processor time, and is the last to be killed. */
const cpuShares = 2;
const oomScore = -998;

/**
 * Makes the spec of a pod's sandbox.
 *
 * @throws ContainerdError `invalid-argument` and others, naming what of the configuration is wrong
 */
export async function sandboxSpec(
  ctx: CallContext,
  environment: SpecEnvironment,
  input: SandboxSpecInput,
): Promise<LabelledSpec> {
  const { id, config, image, handler, files } = input;
  const security = config.linux?.securityContext;
  const namespaces = security?.namespaceOptions;
  const hostNetwork = usesHostNetwork(namespaces);
  const labels = environment.selinux.take(security?.selinuxOptions);
  return keptLabel(environment, labels.process, () =>
    createSpec(
      specContext(ctx, id, input.withRootfs),
      withoutDefaultLimits(),
      withReadonlyRoot(),
      withSandboxProcess(image.config),
      // The node's name cannot be changed in its own namespace.
      config.hostname === "" || hostNetwork ? () => {} : withHostname(config.hostname),
      withPodCgroup(config.linux?.cgroupParent ?? "", systemdCgroup(handler)),
      withSandboxMounts(config, files),
      // The first to mount the sysfs of a network decides whether it can be written by any.
      security?.privileged === true ? withWritableSysfs() : () => {},
      withSandboxNamespaces(namespaces, { network: input.netnsPath, user: input.usernsPath }),
      withSelinuxLabel(processLabelOf(environment, handler, labels.process, security), labels.mount),
      withSysctls(sandboxSysctls(environment, config)),
      withCpu({ shares: cpuShares }),
      withOomScore(oomScore, environment.settings.restrict_oom_score_adj),
      withSandboxUser(security, image.config.user),
      withSandboxSeccomp(environment, security),
      withAnnotations(passedAnnotations(config.annotations, handler.pod_annotations)),
      withAnnotations(sandboxAnnotations(id, config, image.name)),
    ),
  );
}

/** Kernel parameters of the request, and by configuration: any user may bind low ports and ping in a pod's own network. */
function sandboxSysctls(environment: SpecEnvironment, config: PodSandboxConfig): Record<string, string> {
  const { settings, host } = environment;
  const namespaces = config.linux?.securityContext?.namespaceOptions;
  const defaults: Record<string, string> = {};
  if (!usesHostNetwork(namespaces)) {
    // The range of groups must exist in the user namespace.
    const allGroups = !host.userNamespace && userMappings(namespaces?.usernsOptions) === undefined;
    if (settings.enable_unprivileged_ports) defaults["net.ipv4.ip_unprivileged_port_start"] = "0";
    if (settings.enable_unprivileged_icmp && allGroups) defaults["net.ipv4.ping_group_range"] = "0 2147483647";
  }
  return { ...defaults, ...Object.fromEntries(config.linux?.sysctls ?? []) };
}

function withSandboxSeccomp(
  environment: SpecEnvironment,
  security: LinuxSandboxSecurityContext | undefined,
): SpecOption {
  const { settings, host } = environment;
  if (security?.privileged === true) return () => {};
  const old = security?.seccompProfilePath || settings.unset_seccomp_profile;
  return compose(withSeccomp(readProfile("seccomp", security?.seccomp, old), host.seccomp));
}
