import { execFileSync } from "node:child_process";
import type { Registration } from "@ctrd/core/plugin";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { SnapshotKind, SnapshotPlugin } from "@ctrd/core/snapshots";
import { openDirectorySnapshotter, SnapshotDirectories } from "@ctrd/storage";

/** Every snapshot is a directory, which begins as a copy of its parent. */
export function openCopySnapshotter(root: string): Snapshotter {
  const directories = new SnapshotDirectories(root);
  return openDirectorySnapshotter(
    directories,
    {
      hasDirectory: () => true,
      async fill(_ctx, directory, { parentIds: [parent] }) {
        execFileSync("chmod", ["0755", directory]);
        if (parent !== undefined) execFileSync("cp", ["--archive", `${directories.of(parent)}/.`, directory]);
      },
      mounts({ record }) {
        const options = ["rbind", record.info.kind === SnapshotKind.View ? "ro" : "rw"];
        return [{ type: "bind", source: directories.of(record.id), target: "", options }];
      },
    },
    { syncRemove: true },
  );
}

/** The default export of the package's plugin entry. */
const plugin: Registration<Snapshotter> = {
  type: SnapshotPlugin,
  id: "copy",
  initFn(ic) {
    const snapshotter = openCopySnapshotter(ic.root);
    ic.onClose(() => snapshotter.close());
    return snapshotter;
  },
};
export default plugin;
