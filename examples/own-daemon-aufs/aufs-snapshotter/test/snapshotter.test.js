import { snapshotterSuite } from "@ctrd/testkit/snapshots";
import { describe } from "vitest";
import { openAufsSnapshotter, probe } from "aufs-snapshotter";

const lack = probe();
// It mounts what it is given, which takes a kernel with aufs.
describe.skipIf(lack !== undefined)(lack === undefined ? "on this kernel" : `skipped: ${lack.reason}`, () => {
  snapshotterSuite(
    "aufs",
    async (root) => {
      const snapshotter = openAufsSnapshotter(root, { mountOptions: ["dirperm1"] });
      return { snapshotter, close: () => snapshotter.close() };
    },
    { depth: 40 },
  );
});
