/**
 * A remote snapshotter: it answers a Prepare with "already exists" when it can give the layer without a pull. Here
 * layers lie unpacked in a directory that many machines can read; others would mount a network filesystem.
 *
 * @module
 */
import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync } from "node:fs";
import { alreadyExists, isKind } from "@ctrd/core/errors";
import { SnapshotKind, snapshotRefLabel } from "@ctrd/core/snapshots";
import { openDirectorySnapshotter, SnapshotDirectories } from "@ctrd/storage";
import { publishedLayer } from "./layers.js";

/**
 * @import { Mount } from "@ctrd/core/records"
 * @import { Snapshotter } from "@ctrd/core/snapshots"
 * @import { SnapshotChain } from "@ctrd/storage"
 */

/**
 * Opens the snapshotter whose own files are in `root`.
 *
 * @param {string} root
 * @param {string} layers the shared directory, which is only read
 * @returns {Snapshotter}
 */
export function openSharedLayersSnapshotter(root, layers) {
  /** Keys of snapshots that are being made of a shared layer. @type {Map<string, string>} */
  const shared = new Map();
  const local = openLocalSnapshotter(root, shared);
  return {
    async prepare(ctx, key, parent, options = {}) {
      // Daemons name the layer that they want; containers ask without a name.
      const target = options.labels?.get(snapshotRefLabel) ?? "";
      const layer = publishedLayer(layers, target);
      if (layer === undefined) return await local.prepare(ctx, key, parent, options);
      shared.set(key, layer);
      try {
        await local.prepare(ctx, key, parent, options);
      } finally {
        shared.delete(key);
      }
      try {
        await local.commit(ctx, target, key, options);
      } catch (error) {
        await local.remove(ctx, key);
        // Another namespace was first: namespaces share what is remote.
        if (!isKind(error, "already-exists")) throw error;
      }
      throw alreadyExists(`snapshot "${target}" in ${layers}`);
    },
    view: (...args) => local.view(...args),
    commit: (...args) => local.commit(...args),
    remove: (...args) => local.remove(...args),
    mounts: (...args) => local.mounts(...args),
    stat: (...args) => local.stat(...args),
    update: (...args) => local.update(...args),
    usage: (...args) => local.usage(...args),
    walk: (...args) => local.walk(...args),
    cleanup: async (ctx) => local.cleanup?.(ctx),
    close: () => local.close(),
  };
}

/**
 * Overlays of directories: `fs` in each snapshot's directory, which is a link where the layer is a shared one.
 *
 * @param {string} root
 * @param {ReadonlyMap<string, string>} shared
 */
function openLocalSnapshotter(root, shared) {
  const directories = new SnapshotDirectories(root);
  /** @param {string} id */
  const filesOf = (id) => `${directories.of(id)}/fs`;
  /**
   * @param {string} directory
   * @param {SnapshotChain} chain
   */
  const fill = (directory, { record, parentIds }) => {
    const files = `${directory}/fs`;
    const layer = shared.get(record.info.name);
    if (layer !== undefined) return symlinkSync(layer, files);
    mkdirSync(files);
    chmodSync(files, 0o755); // whatever the umask is
    const [parent] = parentIds;
    if (parent !== undefined) {
      const { uid, gid } = statSync(filesOf(parent));
      chownSync(files, uid, gid);
    }
    if (record.info.kind === SnapshotKind.Active) mkdirSync(`${directory}/work`, 0o711);
  };
  return openDirectorySnapshotter(directories, {
    fill: (_ctx, directory, chain) => fill(directory, chain),
    refill: fill,
    mounts: (chain) => overlayMounts(chain, directories),
    measured: filesOf,
  });
}

/**
 * @param {SnapshotChain} chain
 * @param {SnapshotDirectories} directories
 * @returns {Mount[]}
 */
function overlayMounts({ record, parentIds }, directories) {
  const own = directories.of(record.id);
  const [nearest] = parentIds;
  const isView = record.info.kind === SnapshotKind.View;
  if (nearest === undefined || (isView && parentIds.length === 1)) {
    const source = `${nearest === undefined ? own : directories.of(nearest)}/fs`;
    return [{ type: "bind", source, target: "", options: ["rbind", isView ? "ro" : "rw"] }];
  }
  const lower = `lowerdir=${parentIds.map((id) => `${directories.of(id)}/fs`).join(":")}`;
  const options = isView ? [lower] : [`workdir=${own}/work`, `upperdir=${own}/fs`, lower];
  // A layer is lower in many overlays at once.
  return [{ type: "overlay", source: "overlay", target: "", options: [...options, "index=off"] }];
}
