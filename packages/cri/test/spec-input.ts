/** Requests to make specs from, as kubelet sends them. */
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { DeepPartial } from "@ctrd/api/cri/runtime/v1/api";
import { ContainerConfig, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import { createContext } from "@ctrd/core/context";
import { silentLogger } from "@ctrd/core/log";
import type { ImageConfig, Spec } from "@ctrd/oci";
import { parseImageConfig } from "@ctrd/oci";
import { BaseSpecs } from "../src/spec/base-spec.ts";
import type { SpecEnvironment, SpecSettings } from "../src/spec/environment.ts";
import type { HostFeatures } from "../src/spec/host-features.ts";
import type { ContainerSpec, ContainerSpecInput, SandboxSpecInput, SpecHandler } from "../src/spec/index.ts";
import { containerSpec, sandboxSpec } from "../src/spec/index.ts";
import { SelinuxLabels } from "../src/spec/selinux.ts";

/** A call in CRI's namespace. */
export const ctx = createContext({ namespace: "k8s.io", log: silentLogger });

/** The configuration when its file says nothing. */
export const defaultSettings: SpecSettings = {
  enable_selinux: false,
  selinux_category_range: 1024,
  disable_apparmor: false,
  restrict_oom_score_adj: false,
  disable_proc_mount: false,
  unset_seccomp_profile: "",
  tolerate_missing_hugetlb_controller: true,
  disable_hugetlb_controller: true,
  device_ownership_from_security_context: false,
  ignore_image_defined_volumes: false,
  enable_unprivileged_ports: true,
  enable_unprivileged_icmp: true,
  enable_cdi: true,
  cdi_spec_dirs: ["/etc/cdi", "/var/run/cdi"],
  containerd: { ignore_blockio_not_enabled_errors: false, ignore_rdt_not_enabled_errors: false },
};

/** A host with cgroup v1 and neither AppArmor nor SELinux, whatever this one is. */
export const plainHost: HostFeatures = {
  cgroup2: false,
  swapLimit: true,
  hugetlb: false,
  seccomp: true,
  apparmor: false,
  selinux: false,
  recursiveReadOnly: true,
  userNamespace: false,
};

/** What {@link environment} is made from. */
export interface EnvironmentParts {
  settings?: Partial<SpecSettings>;
  host?: Partial<HostFeatures>;
  selinux?: SelinuxLabels;
}

/** An environment with some things other than usual. */
export function environment({ settings, host, selinux }: EnvironmentParts = {}): SpecEnvironment {
  return {
    settings: { ...defaultSettings, ...settings },
    host: { ...plainHost, ...host },
    selinux: selinux ?? SelinuxLabels.disabled(),
    baseSpecs: new BaseSpecs(),
  };
}

/** The handler `runc` when the configuration says nothing of it. */
export const runcHandler: SpecHandler = {
  runtime_type: "io.containerd.runc.v2",
  options: {},
  pod_annotations: [],
  container_annotations: [],
  privileged_without_host_devices: false,
  privileged_without_host_devices_all_devices_allowed: false,
  cgroup_writable: false,
  base_runtime_spec: "",
};

/** The `config` of an image configuration. */
export function imageConfig(config: object): ImageConfig {
  return parseImageConfig(JSON.stringify({ config }));
}

/** A root filesystem that has no users. */
const emptyRootfs = mkdtempSync(join(tmpdir(), "ctk-"));
afterAll(() => rmdirSync(emptyRootfs));

/** Files of a sandbox that are nowhere: none is mounted. */
const noFiles = {
  hostname: "/nowhere/hostname",
  hosts: "/nowhere/hosts",
  resolvConf: "/nowhere/resolv.conf",
  shm: "/nowhere/shm",
};

const metadata = { name: "web", uid: "uid-1", namespace: "default", attempt: 0 };

/** A pod's configuration. */
export function podConfig(config: DeepPartial<PodSandboxConfig> = {}): PodSandboxConfig {
  return PodSandboxConfig.create({ metadata, logDirectory: "/var/log/pods/web", hostname: "web-host", ...config });
}

/** What {@link makeSandbox} is made from, beside what every sandbox has. */
export type SandboxParts = Partial<Omit<SandboxSpecInput, "config">> & {
  config?: DeepPartial<PodSandboxConfig>;
  env?: EnvironmentParts;
};

/** The spec of a sandbox. */
export async function makeSandbox({ config, env, ...parts }: SandboxParts = {}): Promise<Spec> {
  const { spec } = await sandboxSpec(ctx, environment(env), {
    id: "sandbox1",
    config: podConfig(config),
    image: { name: "registry.k8s.io/pause:3.10.2", config: imageConfig({ Entrypoint: ["/pause"], Env: ["A=1"] }) },
    handler: runcHandler,
    netnsPath: "/var/run/netns/cni-1",
    files: noFiles,
    ...parts,
  });
  return spec;
}

/** What {@link makeContainer} is made from, beside what every container has. */
export type ContainerParts = Partial<Omit<ContainerSpecInput, "config" | "sandboxConfig" | "image">> & {
  config?: DeepPartial<ContainerConfig>;
  pod?: DeepPartial<PodSandboxConfig>;
  /** The `config` of the image configuration. */
  image?: object;
  imageName?: string;
  volumes?: readonly string[];
  /** Directory of the root filesystem; an empty one when absent. */
  rootfs?: string;
  env?: EnvironmentParts;
};

/** The spec of a container with what comes with it. */
export async function makeContainer(parts: ContainerParts = {}): Promise<ContainerSpec> {
  const { config, pod, image = { Cmd: ["sh"] }, volumes = [], rootfs = emptyRootfs, env, ...others } = parts;
  const { imageName = "docker.io/library/app:1", ...rest } = others;
  return containerSpec(ctx, environment(env), {
    id: "container1",
    config: ContainerConfig.create({ metadata: { name: "app", attempt: 0 }, ...config }),
    sandboxConfig: podConfig(pod),
    sandbox: { id: "sandbox1", pid: 1234, processLabel: "", files: noFiles },
    image: { name: imageName, config: imageConfig(image), volumes },
    handler: runcHandler,
    recursiveReadOnlyMounts: true,
    volumesDirectory: "/nowhere/volumes",
    withRootfs: (use) => use(rootfs),
    ...rest,
  });
}

/** The spec of a container whose security context is this. */
export async function securedSpec(
  securityContext: NonNullable<NonNullable<DeepPartial<ContainerConfig>["linux"]>["securityContext"]>,
  parts: ContainerParts = {},
): Promise<Spec> {
  const { spec } = await makeContainer({ ...parts, config: { ...parts.config, linux: { securityContext } } });
  return spec;
}
