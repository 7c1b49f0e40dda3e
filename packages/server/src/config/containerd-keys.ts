/**
 * Keys of containerd's own plugin tables. A plugin of ctrd that has no use for one is no reason to refuse a
 * configuration written for containerd: such a key is a warning.
 */
const containerdKeys: Readonly<Record<string, string>> = {
  "io.containerd.server.v1.grpc": "address uid gid max_recv_message_size max_send_message_size",
  "io.containerd.server.v1.ttrpc": "address uid gid",
  "io.containerd.server.v1.debug": "address uid gid",
  "io.containerd.server.v1.metrics": "address",
  "io.containerd.gc.v1.scheduler": "pause_threshold deletion_threshold mutation_threshold schedule_delay startup_delay",
  "io.containerd.metadata.v1.bolt": "content_sharing_policy no_sync",
  "io.containerd.runtime.v2.task": "platforms sched_core",
  "io.containerd.shim.v1.manager": "env socket_dir",
  "io.containerd.service.v1.diff-service": "default sync_fs",
  "io.containerd.service.v1.tasks-service": "blockio_config_file rdt_config_file",
  "io.containerd.snapshotter.v1.overlayfs": "root_path upperdir_label sync_remove slow_chown mount_options",
  "io.containerd.snapshotter.v1.native": "root_path",
  "io.containerd.internal.v1.opt": "path",
  "io.containerd.monitor.container.v1.restart": "interval",
  "io.containerd.monitor.task.v1.cgroups": "no_prometheus",
};

/** What to know of keys that need more than a general sentence. */
const reasons: Readonly<Record<string, string>> = {
  "io.containerd.metadata.v1.bolt.no_sync": "what is acknowledged is always on disk; remove the key",
  "io.containerd.runtime.v2.task.platforms": "tasks run on this machine's platform; remove the key",
  "io.containerd.service.v1.tasks-service.blockio_config_file": "block IO classes are not supported; remove the key",
  "io.containerd.service.v1.tasks-service.rdt_config_file": "RDT classes are not supported; remove the key",
  "io.containerd.internal.v1.opt.path": "plugins come from npm, ctr install is not supported; remove the key",
  "io.containerd.monitor.task.v1.cgroups.no_prometheus":
    "metrics of tasks are read from the Tasks service; remove the key",
};

/**
 * Why a key of containerd's plugin `uri` does nothing here, and what to do about it.
 *
 * @returns undefined when containerd has no such key either
 */
export function effectOf(uri: string, key: string): string | undefined {
  if (!Object.hasOwn(containerdKeys, uri) || !(containerdKeys[uri] ?? "").split(" ").includes(key)) return undefined;
  return reasons[`${uri}.${key}`] ?? "this daemon's plugin has no such setting; remove the key";
}
