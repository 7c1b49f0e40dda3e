/** Specs of containers. */
import type { LinuxContainerSecurityContext } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { invalidArgument } from "@ctrd/core/errors";
import type { SpecOption } from "@ctrd/oci";
import {
  compose,
  createSpec,
  withAnnotations,
  withBaseSpec,
  withCgroup,
  withNoNewPrivileges,
  withoutMounts,
  withReadonlyRoot,
  withRootPath,
  withSelinuxLabel,
} from "@ctrd/oci";
import { containerAnnotations, passedAnnotations } from "./annotations.ts";
import { withCdi, withDevices } from "./devices.ts";
import type { SpecEnvironment } from "./environment.ts";
import type { ContainerSpec, ContainerSpecInput, ImageVolume } from "./input.ts";
import { withContainerMounts } from "./mounts.ts";
import { withContainerNamespaces } from "./namespaces.ts";
import { withAccessRights, withProcPaths } from "./privileges.ts";
import { withContainerProcess } from "./process.ts";
import { blockioClass, checkResourceClass, rdtClass, withOomScore, withPodCgroup, withResources } from "./resources.ts";
import { imageVolumes, podMounts, volumeMounts } from "./sandbox-mounts.ts";
import { keptLabel, processLabelOf, specContext, systemdCgroup, withoutDefaultLimits } from "./spec-context.ts";
import { withContainerUser } from "./users.ts";

/**
 * Makes the spec of a container. Missing host directories of its mounts are made.
 *
 * @throws ContainerdError `invalid-argument` and others, naming what of the request is wrong
 */
export async function containerSpec(
  ctx: CallContext,
  environment: SpecEnvironment,
  input: ContainerSpecInput,
): Promise<ContainerSpec> {
  const { config, sandboxConfig, sandbox, handler } = input;
  const security = config.linux?.securityContext;
  checkPrivileged(input, security);
  checkClasses(ctx, environment, input);
  const { settings } = environment;
  const declared = settings.ignore_image_defined_volumes ? [] : input.image.volumes;
  const volumes = imageVolumes(declared, config, input.volumesDirectory);
  const base =
    handler.base_runtime_spec === "" ? undefined : await environment.baseSpecs.get(handler.base_runtime_spec);
  const labels = environment.selinux.take(security?.selinuxOptions, sandbox.processLabel);
  const made = await keptLabel(environment, labels.process, async () =>
    createSpec(
      specContext(ctx, input.id, input.withRootfs),
      // The directories of a spec that the administrator wrote stay.
      base === undefined
        ? withoutDefaultLimits()
        : compose(withBaseSpec(base), withCgroup(`/k8s.io/${input.id}`), withRootPath("rootfs")),
      withoutMounts("/run"),
      withNoNewPrivileges(security?.noNewPrivs ?? false),
      withContainerProcess(config, input.image.config, sandboxConfig.hostname),
      await withNamespacesAndMounts(environment, input, volumes, labels.mount),
      settings.disable_proc_mount ? () => {} : withProcPaths(security),
      withDevices(config.devices, settings.device_ownership_from_security_context ? ownerOf(security) : undefined),
      withAccessRights(environment, handler, security),
      withSelinuxLabel(processLabelOf(environment, handler, labels.process, security), labels.mount),
      security?.readonlyRootfs === true ? withReadonlyRoot() : () => {},
      withLimits(ctx, environment, input),
      withContainerUser(security, input.image.config.user),
      withCdi({
        devices: config.CDIDevices,
        annotations: config.annotations,
        enabled: settings.enable_cdi,
        directories: settings.cdi_spec_dirs,
      }),
      withAnnotations(passedAnnotations(sandboxConfig.annotations, handler.pod_annotations)),
      withAnnotations(passedAnnotations(config.annotations, handler.container_annotations)),
      withAnnotations(
        containerAnnotations(sandbox.id, sandboxConfig, {
          container: config.metadata?.name ?? "",
          image: input.image.name,
        }),
      ),
    ),
  );
  return { ...made, volumes };
}

function checkPrivileged(
  { sandboxConfig }: ContainerSpecInput,
  security: LinuxContainerSecurityContext | undefined,
): void {
  if (security?.privileged === true && sandboxConfig.linux?.securityContext?.privileged !== true) {
    throw invalidArgument("no privileged container allowed in sandbox (the pod must be privileged too)");
  }
}

function checkClasses(
  ctx: CallContext,
  environment: SpecEnvironment,
  { config, sandboxConfig }: ContainerSpecInput,
): void {
  const { ignore_rdt_not_enabled_errors: rdt, ignore_blockio_not_enabled_errors: blockio } =
    environment.settings.containerd;
  const request = {
    containerName: config.metadata?.name ?? "",
    annotations: config.annotations,
    podAnnotations: sandboxConfig.annotations,
  };
  checkResourceClass(blockioClass, { ...request, ignore: blockio }, ctx.log);
  checkResourceClass(rdtClass, { ...request, ignore: rdt }, ctx.log);
}

async function withNamespacesAndMounts(
  environment: SpecEnvironment,
  input: ContainerSpecInput,
  volumes: readonly ImageVolume[],
  mountLabel: string,
): Promise<SpecOption> {
  const { config, sandbox, sandboxConfig, handler } = input;
  const security = config.linux?.securityContext;
  const namespaces = withContainerNamespaces({
    options: security?.namespaceOptions,
    sandboxOptions: sandboxConfig.linux?.securityContext?.namespaceOptions,
    sandboxPid: sandbox.pid,
    targetPid: input.targetPid,
    // With cgroup v1 the tree of the node always was visible, and privileged containers work on it.
    cgroup: environment.host.cgroup2 && security?.privileged !== true,
  });
  const mounts = withContainerMounts({
    mounts: config.mounts,
    extra: [...(await podMounts(config, sandbox.files)), ...volumeMounts(volumes, config)],
    cgroup2: environment.host.cgroup2,
    cgroupWritable: handler.cgroup_writable,
    mountLabel,
    recursiveReadOnly: environment.host.recursiveReadOnly && input.recursiveReadOnlyMounts,
  });
  return compose(namespaces, mounts);
}

function withLimits(
  ctx: CallContext,
  environment: SpecEnvironment,
  { config, sandboxConfig, handler }: ContainerSpecInput,
): SpecOption {
  const resources = config.linux?.resources;
  const restrict = environment.settings.restrict_oom_score_adj;
  return compose(
    withResources(resources, environment, ctx.log),
    withPodCgroup(sandboxConfig.linux?.cgroupParent ?? "", systemdCgroup(handler)),
    resources === undefined ? () => {} : withOomScore(resources.oomScoreAdj, restrict),
  );
}

function ownerOf(security: LinuxContainerSecurityContext | undefined): {
  uid: LinuxContainerSecurityContext["runAsUser"];
  gid: LinuxContainerSecurityContext["runAsGroup"];
} {
  return { uid: security?.runAsUser, gid: security?.runAsGroup };
}
