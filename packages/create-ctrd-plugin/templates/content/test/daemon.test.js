import { existsSync } from "node:fs";
import { proxyContentStore } from "@ctrd/services";
import { startTestDaemon } from "@ctrd/testkit/daemon";
import { expect, test } from "vitest";
import plugin from "__name__/plugin";

test("a daemon keeps its blobs in it", async () => {
  const config = { disabled_plugins: ["io.containerd.content.v1.content"] };
  await using daemon = await startTestDaemon({ plugins: [plugin], config });
  const content = proxyContentStore(daemon.channel());
  const writer = await content.writer(daemon.ctx, { ref: "upload" });
  await writer.write(Buffer.from("hello"));
  const digest = await writer.digest();
  await writer.commit(daemon.ctx);
  const path = `${daemon.root}/io.containerd.content.v1.__id__/blobs/${digest.replace(":", "/")}`;
  expect(existsSync(path)).toBe(true);
});
