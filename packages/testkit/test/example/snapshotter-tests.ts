import { join } from "node:path";
import { proxySnapshotter } from "@ctrd/services";
import { startTestDaemon } from "@ctrd/testkit/daemon";
import { busyboxImage, tempDir, writeOciArchive } from "@ctrd/testkit/fixtures";
import { snapshotterSuite } from "@ctrd/testkit/snapshots";
import { expect, test } from "vitest";
import plugin, { openCopySnapshotter } from "./snapshotter.ts";

snapshotterSuite(
  "copy",
  async (root) => {
    const snapshotter = openCopySnapshotter(root);
    return { snapshotter, close: () => snapshotter.close() };
  },
  // Copies of copies: 20 layers tell as much as the 140 of the default, and sooner.
  { depth: 20 },
);

test("containers run on it", async () => {
  await using directory = await tempDir();
  await using daemon = await startTestDaemon({ plugins: [plugin] });

  const archive = join(directory.path, "busybox.tar");
  const name = "example.test/busybox:1";
  await writeOciArchive(archive, [{ image: await busyboxImage(), containerdName: name }]);
  const imported = await daemon.ctr(["images", "import", "--snapshotter", "copy", archive]);
  expect(imported).toMatchObject({ exitCode: 0 });
  const run = await daemon.ctr(["run", "--rm", "--snapshotter", "copy", name, "one", "echo", "hello"]);
  expect(run).toMatchObject({ exitCode: 0, stdout: "hello\n" });

  // The API, without a program: what clients of the daemon see.
  const snapshotter = proxySnapshotter(daemon.channel(), "copy");
  const names: string[] = [];
  for await (const { name: snapshot } of snapshotter.walk(daemon.ctx, ["kind==committed"])) names.push(snapshot);
  expect(names).toHaveLength(1);
  expect(daemon.logs.filter(({ level }) => level === "error")).toEqual([]);
});
