import { proxySnapshotter } from "@ctrd/services";
import { startTestDaemon } from "@ctrd/testkit/daemon";
import { expect, test } from "vitest";
import plugin from "__name__/plugin";

test("a daemon offers it to its clients", async () => {
  await using daemon = await startTestDaemon({ plugins: [plugin] });
  const snapshotter = proxySnapshotter(daemon.channel(), "__id__");
  const mounts = await snapshotter.prepare(daemon.ctx, "active", "");
  expect(mounts[0]?.source).toMatch(`${daemon.root}/io.containerd.snapshotter.v1.__id__/`);
  await snapshotter.commit(daemon.ctx, "committed", "active");
  await snapshotter.remove(daemon.ctx, "committed");
});

test("its configuration says where the snapshots are", async () => {
  await using elsewhere = await startTestDaemon({ plugins: [plugin] });
  const root_path = `${elsewhere.root}/snapshots`;
  const config = { plugins: { "io.containerd.snapshotter.v1.__id__": { root_path } } };
  await using daemon = await startTestDaemon({ plugins: [plugin], config });
  const [mount] = await proxySnapshotter(daemon.channel(), "__id__").prepare(daemon.ctx, "active", "");
  expect(mount?.source).toMatch(`${root_path}/`);
});
