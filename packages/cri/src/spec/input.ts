/** What specs are made from. */
import type { ContainerConfig, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { ImageConfig, Spec } from "@ctrd/oci";
import type { HandlerConfig } from "../config/runtime-config.ts";

/** The part of a runtime handler's configuration that changes specs. */
export type SpecHandler = Pick<
  HandlerConfig,
  | "runtime_type"
  | "options"
  | "pod_annotations"
  | "container_annotations"
  | "privileged_without_host_devices"
  | "privileged_without_host_devices_all_devices_allowed"
  | "cgroup_writable"
  | "base_runtime_spec"
>;

/** Files of a sandbox on the host that its containers share. A file that is not there is not mounted. */
export interface SandboxFiles {
  hostname: string;
  hosts: string;
  resolvConf: string;
  /** Directory with the tmpfs of `/dev/shm`. */
  shm: string;
}

/** Calls `use` with a directory where a root filesystem can be read. */
export type WithRootfs = <T>(use: (directory: string) => Promise<T>) => Promise<T>;

/** What {@link sandboxSpec} needs. */
export interface SandboxSpecInput {
  id: string;
  config: PodSandboxConfig;
  /** The pause image: the reference that the annotation shows, and its configuration. */
  image: { name: string; config: ImageConfig };
  handler: SpecHandler;
  /** Network namespace of the pod; empty with the host's. */
  netnsPath: string;
  /** User namespace that owns `netnsPath`, when the pod has one of its own. */
  usernsPath?: string;
  files: SandboxFiles;
  /** Only for a pause image whose user is a name. */
  withRootfs?: WithRootfs;
}

/** A spec and the SELinux label that was taken for it. */
export interface LabelledSpec {
  spec: Spec;
  /**
   * Label of the process, recorded also when a privileged process does not get it; "" without SELinux. The owner calls
   * `environment.selinux.release` with it when the container is gone.
   */
  processLabel: string;
}

/** What {@link containerSpec} needs. */
export interface ContainerSpecInput {
  id: string;
  /** Mounts of images must have the directory where the image is mounted as `hostPath`. */
  config: ContainerConfig;
  /** Configuration of the pod, as it was given when the pod was made. */
  sandboxConfig: PodSandboxConfig;
  sandbox: {
    id: string;
    /** Process whose namespaces the containers join. */
    pid: number;
    /** `processLabel` of its spec. */
    processLabel: string;
    files: SandboxFiles;
  };
  /** Process of the container that `targetId` of the namespace options names, in mode TARGET. */
  targetPid?: number;
  image: {
    /** Reference that the annotation shows. */
    name: string;
    config: ImageConfig;
    /** Paths that the image declares as volumes. */
    volumes: readonly string[];
  };
  handler: SpecHandler;
  /** Whether the handler can make read-only mounts recursively (`runc features`). */
  recursiveReadOnlyMounts: boolean;
  /** Directory below which each volume of the image gets one; made when there is a volume. */
  volumesDirectory: string;
  withRootfs: WithRootfs;
}

/** A volume of an image: an empty directory of the host, and where the image has what is to be copied into it. */
export interface ImageVolume {
  hostPath: string;
  /** A clean absolute path. Links in the root filesystem may lead anywhere: resolve it inside (CVE-2022-23648). */
  containerPath: string;
}

/** The spec of a container and what is to be done before it starts. */
export interface ContainerSpec extends LabelledSpec {
  volumes: ImageVolume[];
}
