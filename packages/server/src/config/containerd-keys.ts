/**
 * What containerd's configuration says and ctrd does not do. That is no reason to refuse a configuration written for
 * containerd: it is a warning, which tells why and what to do instead.
 *
 * @module
 */

/** Keys of containerd's own plugin tables. */
const containerdKeys: Readonly<Record<string, string>> = {
  "io.containerd.server.v1.grpc": "address uid gid max_recv_message_size max_send_message_size",
  "io.containerd.server.v1.ttrpc": "address uid gid",
  "io.containerd.server.v1.debug": "address uid gid",
  "io.containerd.server.v1.metrics": "address",
  "io.containerd.server.v1.grpc-tcp":
    "address tls_ca tls_cert tls_key tls_common_name max_recv_message_size max_send_message_size",
  "io.containerd.metrics.v1.grpc-prometheus": "grpc_histogram",
  "io.containerd.gc.v1.scheduler": "pause_threshold deletion_threshold mutation_threshold schedule_delay startup_delay",
  "io.containerd.metadata.v1.bolt": "content_sharing_policy no_sync",
  "io.containerd.runtime.v2.task": "platforms sched_core",
  "io.containerd.shim.v1.manager": "env socket_dir",
  "io.containerd.service.v1.diff-service": "default sync_fs",
  "io.containerd.service.v1.tasks-service": "blockio_config_file rdt_config_file",
  "io.containerd.snapshotter.v1.overlayfs": "root_path upperdir_label sync_remove slow_chown mount_options",
  "io.containerd.snapshotter.v1.native": "root_path",
  "io.containerd.snapshotter.v1.btrfs": "root_path",
  "io.containerd.snapshotter.v1.blockfile": "root_path scratch_file fs_type mount_options recreate_scratch",
  "io.containerd.snapshotter.v1.devmapper":
    "root_path pool_name base_image_size async_remove discard_blocks fs_type fs_options",
  "io.containerd.snapshotter.v1.erofs":
    "root_path ovl_mount_options enable_fsverity set_immutable default_size dmverity_mode layer_content_caches",
  "io.containerd.differ.v1.erofs": "mkfs_options enable_tar_index enable_dmverity",
  "io.containerd.transfer.v1.local":
    "max_concurrent_downloads concurrent_layer_fetch_buffer max_concurrent_uploaded_layers max_concurrent_unpacks " +
    "check_platform_supported config_path unpack_config",
  "io.containerd.internal.v1.opt": "path",
  "io.containerd.monitor.container.v1.restart": "interval",
  "io.containerd.monitor.task.v1.cgroups": "no_prometheus",
  "io.containerd.image-verifier.v1.bindir": "bin_dir max_verifiers per_verifier_timeout",
  "io.containerd.nri.v1.nri":
    "disable socket_path plugin_path plugin_config_path plugin_registration_timeout plugin_request_timeout " +
    "disable_connections default_validator",
  "io.containerd.tracing.processor.v1.otlp": "endpoint protocol insecure",
  "io.containerd.internal.v1.tracing": "service_name sampling_ratio",
};

/** What to do instead of a key of containerd that a plugin of this daemon has no use for. */
const insteadOfKey: Readonly<Record<string, string>> = {
  "io.containerd.runtime.v2.task.sched_core": 'put "SCHED_CORE=1" into env of plugins."io.containerd.shim.v1.manager"',
};

/** Why a daemon may lack a plugin of containerd, and what to do. */
const absentPlugins: Readonly<Record<string, string>> = {
  "io.containerd.internal.v1.opt": "`ctr install` is not supported; install programs into a directory of PATH",
  "io.containerd.monitor.container.v1.restart":
    "containers with restart labels are not restarted; let a service manager restart them",
  "io.containerd.monitor.task.v1.cgroups":
    "there are no metrics of containers' cgroups; ask for them with `ctr tasks metrics`",
  "io.containerd.server.v1.debug": "there is no debug socket; SIGUSR1 makes the daemon log its state",
  "io.containerd.server.v1.grpc-tcp": "gRPC is served on a unix socket only; forward that, for example with ssh -L",
  "io.containerd.transfer.v1.local": "there is no Transfer service; clients pull and push by themselves",
  "io.containerd.image-verifier.v1.bindir": "images are not verified by programs; let the client verify them",
  "io.containerd.nri.v1.nri": "NRI plugins are not called",
  "io.containerd.tracing.processor.v1.otlp": "there is no tracing",
  "io.containerd.internal.v1.tracing": "there is no tracing",
};

const criPlugins = new Set([
  "io.containerd.grpc.v1.cri",
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
]);

/** Whether `uri` is one of the plugins that make up CRI. */
export function isCriPlugin(uri: string): boolean {
  return criPlugins.has(uri);
}

/** Why the table of CRI's plugins has no effect. */
export const absentCri =
  "the CRI plugin is not part of this daemon; its table is ignored, and kubelet cannot use the daemon";

/** Whether containerd's plugin `uri` has the key. */
export function isContainerdKey(uri: string, key: string): boolean {
  return Object.hasOwn(containerdKeys, uri) && (containerdKeys[uri] ?? "").split(" ").includes(key);
}

/** What to do instead of a key of containerd without effect. */
export function keyWithoutEffect(uri: string, key: string): string {
  const instead = insteadOfKey[`${uri}.${key}`];
  return `has no effect in this daemon; ${instead ?? "the package that provides the plugin here has no such key"}`;
}

/** Why the table of a plugin that is not in the daemon has no effect, and what to do. */
export function tableWithoutEffect(uri: string): string {
  const known = Object.hasOwn(absentPlugins, uri) ? absentPlugins[uri] : undefined;
  return `the plugin is not part of this daemon and its table is ignored; ${known ?? remedyOf(uri)}`;
}

function remedyOf(uri: string): string {
  const snapshotter = /^io\.containerd\.snapshotter\.v1\.(.+)$/.exec(uri)?.[1];
  if (snapshotter === undefined) return "add the package that provides it, or remove the table";
  return `use overlayfs, or add ${snapshotter} as a package or under [proxy_plugins]`;
}

/** What is ignored of `[timeouts]`, and why. */
const idleTimeouts: Readonly<Record<string, string>> = {
  "io.containerd.timeout.bolt.open":
    "the database is opened without waiting; the lock of the root directory is what counts",
  "io.containerd.timeout.cri.defercleanup": "pods that cannot be run are undone without a limit of time",
};

/** Why a timeout of containerd's has no effect; undefined when it is none of them. */
export function idleTimeout(name: string): string | undefined {
  return Object.hasOwn(idleTimeouts, name) ? idleTimeouts[name] : undefined;
}
