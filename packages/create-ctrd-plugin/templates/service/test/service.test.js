import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import { builtins, startDaemon } from "@ctrd/server";
import { openChannel, proxyImages } from "@ctrd/services";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SummaryDefinition } from "__name__";
import plugin from "__name__/plugin";

/** @type {string} */
let directory;
/** @type {import("@ctrd/server").Daemon} */
let daemon;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "service-"));
  const address = join(directory, "d.sock");
  const plugins = { "io.containerd.server.v1.grpc": { address } };
  const config = { root: join(directory, "root"), state: join(directory, "state"), plugins };
  daemon = await startDaemon({ plugins: [...builtins, plugin], config });
});

afterAll(async () => {
  await daemon?.stop();
  await rm(directory, { recursive: true, force: true });
});

test("the daemon serves it, by namespace", async () => {
  using channel = openChannel(join(directory, "d.sock"));
  const ctx = createContext({ namespace: "one" });
  const digest = `sha256:${"0".repeat(64)}`;
  const target = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1n, annotations: new Map() };
  const image = { name: "example.com/a:1", labels: new Map(), target, createdAt: undefined, updatedAt: undefined };
  await proxyImages(channel).create(ctx, image);

  const summary = channel.client(SummaryDefinition);
  expect(await summary.get(ctx, {})).toEqual({ images: 1, containers: 0 });
  expect(await summary.get(createContext({ namespace: "two" }), {})).toEqual({ images: 0, containers: 0 });
  await expect(summary.get(createContext(), {})).rejects.toThrow("namespace is required");
});
