/**
 * OCI runtime specs (`config.json`), made as containerd's client makes them.
 *
 * ```ts
 * const spec = await createSpec(
 *   { id: "web", namespace: "default", signal, imageConfig, withRootfs },
 *   withImageConfig({ args: ["httpd", "-f"] }),
 *   withMounts(bindMount("/srv/www", "/www", { readonly: true })),
 *   withMemory({ limit: 64 << 20 }),
 *   withDefaultSeccomp(),
 * );
 * ```
 *
 * @module
 */
export {
  availableCapabilities,
  defaultCapabilities,
  withAddedCapabilities,
  withCapabilities,
  withDroppedCapabilities,
} from "./capabilities.ts";
export { defaultCdiDirectories, withCdiDevices } from "./cdi.ts";
export type { SpecContext, SpecOption } from "./context.ts";
export { applyOptions, compose } from "./context.ts";
export { createSpec, withBaseSpec } from "./create-spec.ts";
export { defaultMaskedPaths, defaultReadonlyPaths, defaultSpec } from "./default-spec.ts";
export type { DeviceRequest } from "./devices.ts";
export { parseDevice, withAllDevicesAllowed, withDevice, withHostDevices } from "./devices.ts";
export { mergeEnvironment, withEnv, withEnvFile } from "./environment.ts";
export type { ImageConfig, ImageConfigOptions } from "./image-config.ts";
export { parseImageConfig, withImageConfig } from "./image-config.ts";
export type { PrivilegedOptions } from "./isolation.ts";
export {
  withAnnotations,
  withApparmorProfile,
  withHooks,
  withMaskedPaths,
  withPrivileged,
  withReadonlyPaths,
  withSelinuxLabel,
  withSysctls,
  withWritableSysfs,
} from "./isolation.ts";
export type { BindOptions, Propagation, TmpfsOptions } from "./mounts.ts";
export {
  bindMount,
  tmpfsMount,
  withHostHosts,
  withHostLocaltime,
  withHostResolvConf,
  withMounts,
  withoutMounts,
  withReadonlyRoot,
  withRootfsPropagation,
  withRootPath,
  withShmSize,
} from "./mounts.ts";
export { withHostNamespace, withNamespace, withUserNamespace } from "./namespaces.ts";
export {
  rlimitInfinity,
  withCwd,
  withDomainname,
  withHostname,
  withNoNewPrivileges,
  withOomScoreAdj,
  withProcessArgs,
  withRlimit,
  withTty,
} from "./process.ts";
export type { CgroupParentOptions } from "./resources.ts";
export {
  withBlockIo,
  withCgroup,
  withCgroupParent,
  withCpu,
  withCpuLimit,
  withHugepageLimit,
  withMemory,
  withPidsLimit,
  withUnifiedResources,
} from "./resources.ts";
export { defaultSeccompProfile, withDefaultSeccomp, withSeccompProfile, withSeccompUnconfined } from "./seccomp.ts";
export type {
  Capabilities,
  Hook,
  HookName,
  Hooks,
  IdMapping,
  Mount,
  Process,
  Rlimit,
  Root,
  Scheduler,
  Spec,
  SpecInteger,
  User,
} from "./spec.ts";
export { specVersion } from "./spec.ts";
export { decodeSpec, encodeSpec } from "./spec-json.ts";
export type {
  BlockIo,
  Cpu,
  Device,
  DeviceRule,
  IntelRdt,
  LinuxSpec,
  Memory,
  Namespace,
  NamespaceType,
  Resources,
  Seccomp,
  SeccompArgument,
  SeccompRule,
  Throttle,
} from "./spec-linux.ts";
export type { UserOptions } from "./user.ts";
export { withAdditionalGroups, withUmask, withUser, withUserIds } from "./user.ts";
