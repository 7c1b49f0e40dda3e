/** The table of pods and containers: `[plugins."io.containerd.cri.v1.runtime"]`. */
import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { z } from "zod";
import { duration } from "./fields.ts";

/** One handler of `[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.<handler>]`. */
export interface HandlerConfig {
  runtime_type: string;
  runtime_path: string;
  pod_annotations: string[];
  container_annotations: string[];
  options: Record<string, unknown>;
  privileged_without_host_devices: boolean;
  privileged_without_host_devices_all_devices_allowed: boolean;
  cgroup_writable: boolean;
  base_runtime_spec: string;
  cni_conf_dir: string;
  cni_max_conf_num: number;
  snapshotter: string;
  sandboxer: string;
  disable_pause_image_pull: boolean;
  io_type: string;
  runtime_engine: string;
  runtime_root: string;
}

/** `[plugins."io.containerd.cri.v1.runtime".containerd]` */
export interface RuntimesConfig {
  default_runtime_name: string;
  ignore_blockio_not_enabled_errors: boolean;
  ignore_rdt_not_enabled_errors: boolean;
  runtimes: Record<string, HandlerConfig>;
  no_pivot: boolean;
}

/** `[plugins."io.containerd.cri.v1.runtime".cni]` */
export interface CniConfig {
  bin_dir: string;
  bin_dirs: string[];
  conf_dir: string;
  max_conf_num: number;
  setup_serially: boolean;
  conf_template: string;
  ip_pref: string;
  use_internal_loopback: boolean;
}

/** `[plugins."io.containerd.cri.v1.runtime"]` */
export interface RuntimeConfig {
  containerd: RuntimesConfig;
  cni: CniConfig;
  enable_selinux: boolean;
  selinux_category_range: number;
  max_container_log_line_size: number;
  disable_apparmor: boolean;
  restrict_oom_score_adj: boolean;
  disable_proc_mount: boolean;
  unset_seccomp_profile: string;
  tolerate_missing_hugetlb_controller: boolean;
  disable_hugetlb_controller: boolean;
  device_ownership_from_security_context: boolean;
  ignore_image_defined_volumes: boolean;
  netns_mounts_under_state_dir: boolean;
  enable_unprivileged_ports: boolean;
  enable_unprivileged_icmp: boolean;
  enable_cdi: boolean;
  cdi_spec_dirs: string[];
  drain_exec_sync_io_timeout: string;
  ignore_deprecation_warnings: string[];
  stats_collect_period: string;
  stats_retention_period: string;
  enable_criu: boolean;
  systemd_cgroup: boolean;
  disable_cgroup: boolean;
}

const flag = (about: string, value = false): z.ZodDefault<z.ZodBoolean> => z.boolean().default(value).describe(about);
const text = (about: string, value = ""): z.ZodDefault<z.ZodString> => z.string().default(value).describe(about);
const texts = (about: string, value: string[] = []): z.ZodDefault<z.ZodArray<z.ZodString>> =>
  z.array(z.string()).default(value).describe(about);

const handler = z.object({
  runtime_type: text("Name of the runtime, or path of a shim.", "io.containerd.runc.v2"),
  runtime_path: text("Path of the shim, in place of the one that the type names."),
  pod_annotations: texts("Annotations of pods, with * at the end, that reach the runtime."),
  container_annotations: texts("Annotations of containers, with * at the end, that reach the runtime."),
  options: z
    .record(z.string(), z.unknown())
    .default({})
    .describe("Options of the runtime: BinaryName, SystemdCgroup …"),
  privileged_without_host_devices: flag("Privileged containers do not get the devices of the host."),
  privileged_without_host_devices_all_devices_allowed: flag("They may make any device all the same."),
  cgroup_writable: flag("Containers may write their own cgroup."),
  base_runtime_spec: text("File of an OCI spec to begin with."),
  cni_conf_dir: text("Networks of this handler; empty: those of all."),
  cni_max_conf_num: z.int().min(0).default(0).describe("How many networks of cni_conf_dir; 0: all."),
  snapshotter: text("Snapshotter of this handler; empty: that of images."),
  sandboxer: text("Controller that runs the pods.", "podsandbox"),
  disable_pause_image_pull: flag("The runtime brings its own pause program."),
  io_type: text("fifo or streaming.", "fifo"),
  runtime_engine: text("Deprecated: options.BinaryName."),
  runtime_root: text("Deprecated: options.Root."),
});

/** A handler of containerd 1.x, which is none as long as it names no runtime. */
const oldHandler = handler.extend({ runtime_type: text("Name of the runtime, or path of a shim.") });

const containerd = z.object({
  default_runtime_name: text("Handler of pods that ask for none.", "runc"),
  ignore_blockio_not_enabled_errors: flag("Blockio classes are ignored where they are not enabled."),
  ignore_rdt_not_enabled_errors: flag("RDT classes are ignored where they are not enabled."),
  runtimes: z
    .record(z.string(), handler)
    .prefault({ runc: {} })
    .describe("Handlers by name, as RuntimeClass objects name them."),
  no_pivot: flag("Deprecated: no pivot_root."),
  default_runtime: oldHandler.optional().describe("Deprecated: the handler of pods that ask for none."),
  untrusted_workload_runtime: oldHandler.optional().describe("Deprecated: the handler untrusted."),
});

/** Handlers as containerd 1.x had them, by the names that they have in `runtimes`. */
function withOldHandlers({
  default_runtime: standard,
  untrusted_workload_runtime: untrusted,
  ...table
}: z.output<typeof containerd>): RuntimesConfig {
  const isSet = (old: HandlerConfig | undefined): old is HandlerConfig => (old?.runtime_type ?? "") !== "";
  return {
    ...table,
    ...(isSet(standard) ? { default_runtime_name: "default" } : {}),
    runtimes: {
      ...table.runtimes,
      ...(isSet(standard) ? { default: standard } : {}),
      ...(isSet(untrusted) ? { untrusted } : {}),
    },
  };
}

const cni = z.object({
  bin_dir: text("Deprecated: bin_dirs."),
  bin_dirs: texts("Where network programs are.", ["/opt/cni/bin"]),
  conf_dir: text("Where networks are configured.", "/etc/cni/net.d"),
  max_conf_num: z.int().min(0).default(1).describe("How many networks a pod gets; 0: all."),
  setup_serially: flag("Networks are set up one after the other."),
  conf_template: text("Template of the network file that UpdateRuntimeConfig writes."),
  ip_pref: z
    .enum(["", "ipv4", "ipv6", "cni"])
    .default("")
    .describe("First address of a pod: ipv4 (or empty), ipv6, cni."),
  use_internal_loopback: flag("The daemon sets up lo itself."),
});

const table = z.object({
  containerd: containerd.transform(withOldHandlers).prefault({}).describe("Runtime handlers."),
  cni: cni.prefault({}).describe("Networks."),
  enable_selinux: flag("Label processes and files."),
  selinux_category_range: z.int().min(0).default(1024).describe("How many categories pods share."),
  max_container_log_line_size: z
    .int()
    .default(16384)
    .describe("Longer lines of logs are split, in bytes; 0 or less: never."),
  disable_apparmor: flag("Never use AppArmor."),
  restrict_oom_score_adj: flag("Raise OOM scores to what the daemon may set."),
  disable_proc_mount: flag("Ignore the proc mount option of Kubernetes."),
  unset_seccomp_profile: text("Profile of containers that name none; empty: unconfined."),
  tolerate_missing_hugetlb_controller: flag("Go on without the hugetlb cgroup.", true),
  disable_hugetlb_controller: flag("Never use the hugetlb cgroup.", true),
  device_ownership_from_security_context: flag("Devices belong to the user of the container."),
  ignore_image_defined_volumes: flag("Do not make volumes that images declare."),
  netns_mounts_under_state_dir: flag("Keep network namespaces below the state directory."),
  enable_unprivileged_ports: flag("Any user may bind low ports in pods.", true),
  enable_unprivileged_icmp: flag("Any user may ping in pods.", true),
  enable_cdi: flag("Inject devices by CDI specs.", true),
  cdi_spec_dirs: texts("Where CDI specs are.", ["/etc/cdi", "/var/run/cdi"]),
  drain_exec_sync_io_timeout: duration
    .default("0s")
    .describe("How long ExecSync waits for output after the program has ended; 0: for its end."),
  ignore_deprecation_warnings: texts("Deprecations that are not told as a condition."),
  stats_collect_period: duration.default("").describe("How often CPU numbers are taken; empty: 1s."),
  stats_retention_period: duration.default("").describe("How long they are kept; empty: 2m."),
  enable_criu: flag("Allow checkpoints.", true),
  systemd_cgroup: flag("Deprecated: options.SystemdCgroup."),
  disable_cgroup: flag("Deprecated: no cgroups."),
});

export const runtimeConfig: ConfigSchema<RuntimeConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
