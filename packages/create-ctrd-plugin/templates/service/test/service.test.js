import { createContext } from "@ctrd/core/context";
import { proxyImages } from "@ctrd/services";
import { startTestDaemon } from "@ctrd/testkit/daemon";
import { expect, test } from "vitest";
import { SummaryDefinition } from "__name__";
import plugin from "__name__/plugin";

test("the daemon serves it, by namespace", async () => {
  await using daemon = await startTestDaemon({ plugins: [plugin] });
  const ctx = createContext({ namespace: "one" });
  const digest = `sha256:${"0".repeat(64)}`;
  const target = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1n, annotations: new Map() };
  const image = { name: "example.com/a:1", labels: new Map(), target, createdAt: undefined, updatedAt: undefined };
  await proxyImages(daemon.channel()).create(ctx, image);

  const summary = daemon.channel().client(SummaryDefinition);
  expect(await summary.get(ctx, {})).toEqual({ images: 1, containers: 0 });
  expect(await summary.get(createContext({ namespace: "two" }), {})).toEqual({ images: 0, containers: 0 });
  await expect(summary.get(createContext(), {})).rejects.toThrow("namespace is required");
});

test("its configuration says what is counted", async () => {
  const table = { image_filters: ["name==example.com/a:1"] };
  const config = { plugins: { "io.containerd.grpc.v1.__id__": table } };
  await using daemon = await startTestDaemon({ plugins: [plugin], config });
  expect(await daemon.channel().client(SummaryDefinition).get(daemon.ctx, {})).toEqual({ images: 0, containers: 0 });
});
