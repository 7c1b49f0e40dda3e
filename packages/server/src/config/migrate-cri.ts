import type { KeyPath } from "./key-path.ts";
import { valueAt } from "./key-path.ts";
import type { Migration } from "./migration.ts";

const old: KeyPath = ["plugins", "io.containerd.grpc.v1.cri"];
const images: KeyPath = ["plugins", "io.containerd.cri.v1.images"];
const runtime: KeyPath = ["plugins", "io.containerd.cri.v1.runtime"];

/** Keys of the server that streams exec and attach, which stay where they are. */
const streamingKeys = new Set([
  "disable_tcp_service",
  "stream_server_address",
  "stream_server_port",
  "stream_idle_timeout",
  "enable_tls_streaming",
  "x509_key_pair_streaming",
]);
const imageKeys = [
  "registry",
  "image_decryption",
  "max_concurrent_downloads",
  "image_pull_progress_timeout",
  "image_pull_with_sync_fs",
  "stats_collect_period",
];
const snapshotKeys = ["snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers"];

/**
 * Version 3 split the table of the CRI plugin into images, runtime and streaming. In the table of images the old value
 * wins over one that is there, in that of the runtime the new one.
 */
export function migrateCri(migration: Migration): void {
  if (migration.keys(old).length === 0) return;
  const overwrite = { overwrite: true };
  for (const key of imageKeys) migration.move([...old, key], [...images, key], overwrite);
  for (const key of snapshotKeys) migration.move([...old, "containerd", key], [...images, key], overwrite);
  migration.move([...old, "sandbox_image"], [...images, "pinned_images", "sandbox"], overwrite);
  moveBinDir(migration);
  for (const handler of migration.keys([...old, "containerd", "runtimes"])) {
    const from = [...old, "containerd", "runtimes", handler, "sandbox_mode"];
    migration.move(from, [...runtime, "containerd", "runtimes", handler, "sandboxer"]);
  }
  for (const key of migration.keys(old)) {
    if (!streamingKeys.has(key)) migration.moveTree([...old, key], [...runtime, key]);
  }
  migration.removeEmpty(old);
}

/** One directory of CNI programs became a list of them. */
function moveBinDir(migration: Migration): void {
  const from = [...old, "cni", "bin_dir"];
  const to = [...runtime, "cni", "bin_dirs"];
  const value = valueAt(migration.table, from);
  if (valueAt(migration.table, [...old, "cni", "bin_dirs"]) !== undefined) {
    if (value !== undefined) migration.drop(from, "it is ignored, because bin_dirs is set too", value === "");
    return;
  }
  migration.move(from, to, { dropZero: true });
  if (typeof value === "string" && valueAt(migration.table, to) === value) migration.set(to, [value]);
}
