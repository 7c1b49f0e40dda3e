/** Pulls that the daemon does for our client and command line, and what happens where it cannot. */
import { writeFile } from "node:fs/promises";
import { connect } from "@ctrd/client";
import type { Client } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import type { TransferProgress } from "@ctrd/core/remotes";
import type { FaultProxy, TestRegistry } from "@ctrd/testkit/fixtures";
import {
  buildImage,
  htpasswdLine,
  pushImage,
  startContainerd,
  startFaultProxy,
  startRegistry,
} from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { cliOf, type Cli } from "./support/cli.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctrdTest, peerTest } from "./support/peers.ts";

let h: Harness;
let cli: Cli;
let client: Client;
/** The registry of the harness again, with users. */
let guarded: TestRegistry;
let proxy: FaultProxy;

beforeAll(async () => {
  h = await openHarness("daemon-pull", { pull: false });
  cli = cliOf(h);
  client = await connect(h.daemon.address, { namespace: h.daemon.namespace });
  await writeFile(h.path("htpasswd"), htpasswdLine);
  guarded = await startRegistry({
    dir: h.path("guarded"),
    auth: { htpasswd: { realm: "test", path: h.path("htpasswd") } },
  });
  proxy = await startFaultProxy(h.registry.host);
});
afterAll(async () => {
  client?.close();
  await proxy?.[Symbol.asyncDispose]();
  await guarded?.[Symbol.asyncDispose]();
  await h?.close();
});

describe("pulls by the daemon", () => {
  ctrdTest("tell each step, from whom it came and who failed before, and unpack", async () => {
    const seen: TransferProgress[] = [];
    const image = await client.pullByDaemon(h.image, {
      plainHttp: true,
      labels: { "test.label": "yes" },
      progress: (step) => seen.push(step),
    });
    expect(image.name).toBe(h.image);
    expect(image.labels.get("test.label")).toBe("yes");
    expect(await image.isUnpacked({ snapshotter: "overlayfs" })).toBe(true);
    const layer = h.busybox.layers[0]?.descriptor.digest;
    const ofLayer = seen.filter(({ name }) => name === `layer-${layer}`);
    expect(ofLayer.map(({ stage }) => stage)).toEqual(expect.arrayContaining(["waiting", "complete", "extracted"]));
    expect(ofLayer.find(({ stage }) => stage === "complete")?.served?.host).toBe(h.registry.host);
    expect(seen.map(({ stage }) => stage)).toEqual(expect.arrayContaining(["resolving", "resolved", "saved"]));
  });

  ctrdTest("ask the client for credentials, and say who refused them", async () => {
    const reference = `${guarded.host}/e2e/none:1`;
    const asked: string[] = [];
    const pull = client.pullByDaemon(reference, {
      plainHttp: true,
      credentials: async (host) => {
        asked.push(host);
        return { username: "user", secret: "wrong" };
      },
    });
    await expect(pull).rejects.toThrow(guarded.host);
    expect(await pull.catch((error: unknown) => isKind(error, "unauthenticated"))).toBe(true);
    expect(asked).toContain(guarded.host);
    // The right ones lead to the registry's own answer.
    const allowed = client.pullByDaemon(reference, {
      plainHttp: true,
      credentials: () => Promise.resolve({ username: "user", secret: "s3cret" }),
    });
    expect(await allowed.catch((error: unknown) => isKind(error, "not-found"))).toBe(true);
  });

  ctrdTest("credentials that cannot be had fail the pull instead of stalling it", async () => {
    const pull = client.pullByDaemon(`${guarded.host}/e2e/none:1`, {
      plainHttp: true,
      credentials: () => Promise.reject(new Error("the helper is broken")),
    });
    await expect(pull).rejects.toThrow();
  });

  ctrdTest("end within a second when they are cancelled", async () => {
    const image = await buildImage({ layers: [{ entries: [{ path: "f", data: Buffer.alloc(100_000, "x") }] }] });
    const reference = await pushImage(h.registry, "e2e/stall", "1", image);
    const digest = image.layers[0]?.descriptor.digest ?? "";
    const stalled = Promise.withResolvers<void>();
    proxy.onRequest(({ method, url }) => {
      if (method !== "GET" || !url.endsWith(digest)) return undefined;
      stalled.resolve();
      return { stallAfter: 10 };
    });
    const ending = new AbortController();
    const pull = client.pullByDaemon(reference.replace(h.registry.host, proxy.host), {
      plainHttp: true,
      signal: ending.signal,
    });
    pull.catch(() => {});
    await stalled.promise;
    const start = performance.now();
    ending.abort();
    expect(await pull.catch((error: unknown) => isKind(error, "canceled"))).toBe(true);
    expect(performance.now() - start).toBeLessThan(1000);
    expect(await client.listImages([`name==${reference}`])).toEqual([]);
  });

  ctrdTest("the command line pulls either way", async () => {
    const image = await buildImage({ layers: [{ entries: [{ path: "f", data: "daemon or client" }] }] });
    for (const [tag, flags] of [
      ["daemon", []],
      ["client", ["--local"]],
    ] as const) {
      const reference = await pushImage(h.registry, "e2e/who", tag, image);
      await cli.ctrd("pull", "--plain-http", ...flags, reference);
      expect((await client.getImage(reference)).target.digest).toBe(image.root.descriptor.digest);
    }
  });
});

peerTest("a containerd without the service: the command line pulls itself", ["containerd"], async () => {
  await using containerd = await startContainerd();
  await using old = await connect(containerd.address, { namespace: "default" });
  const pull = old.pullByDaemon(h.image, { plainHttp: true, progress: () => {} });
  expect(await pull.catch((error: unknown) => isKind(error, "not-implemented"))).toBe(true);
  await cli.ctrd("--address", containerd.address, "--namespace", "default", "pull", "--plain-http", h.image);
  expect((await old.getImage(h.image)).target.digest).toBe(h.busybox.root.descriptor.digest);
});
