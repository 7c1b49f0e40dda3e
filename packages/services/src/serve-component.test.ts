import { createContext } from "@ctrd/core/context";
import { notFound } from "@ctrd/core/errors";
import type { SandboxController, SandboxStatus } from "@ctrd/core/sandboxes";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RpcChannel, ServedSocket } from "./index.ts";
import {
  checkHealth,
  openChannel,
  proxySandboxController,
  proxySnapshotter,
  sandboxControllerLookup,
  serveOnSocket,
  serveSandboxController,
  serveSandboxControllers,
  serveSnapshotter,
} from "./index.ts";

const ctx = createContext({ namespace: "n" });
let directory: string;
let path: string;
let channel: RpcChannel;
let server: ServedSocket | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-serve-"));
  path = join(directory, "s.sock");
  channel = openChannel(path);
});
afterEach(async () => {
  channel.close();
  await server?.stop();
  server = undefined;
  await rm(directory, { recursive: true });
});

const idle = { usage: async () => ({ size: 1n, inodes: 2n }) } as unknown as Snapshotter;

describe("a served component", () => {
  it("answers under every name, and its health is told", async () => {
    server = await serveSnapshotter(path, idle);
    for (const name of ["mine", "yours", ""]) {
      expect(await proxySnapshotter(channel, name).usage(ctx, "k")).toEqual({ size: 1n, inodes: 2n });
    }
    for (const service of ["", "containerd.services.snapshots.v1.Snapshots"]) {
      expect(await checkHealth(channel, ctx, service)).toBe(true);
    }
    await expect(checkHealth(channel, ctx, "other")).rejects.toMatchObject({ kind: "not-found" });
  });

  it("ends the calls under way when it stops, and takes no more", async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const slow = {
      async mounts() {
        begin();
        // Longer than the grace of a bare server.
        await new Promise((wake) => setTimeout(wake, 1_300));
        return [];
      },
    } as unknown as Snapshotter;
    server = await serveSnapshotter(path, slow);
    const snapshotter = proxySnapshotter(channel, "mine");
    const call = snapshotter.mounts(ctx, "k");
    await begun;
    const stopped = server.stop();
    expect(existsSync(path)).toBe(false);
    expect(await call).toEqual([]);
    await stopped;
    await expect(snapshotter.mounts(ctx, "k")).rejects.toMatchObject({ kind: "unavailable" });
  });

  it("takes the place of a socket that a killed process left", async () => {
    const child = spawn(process.execPath, ["-e", "require('net').createServer().listen(process.argv[1])", path]);
    while (!existsSync(path)) await new Promise((wake) => setTimeout(wake, 10));
    await expect(serveSnapshotter(path, idle)).rejects.toMatchObject({
      kind: "failed-precondition",
      message: expect.stringMatching(
        new RegExp(`^address "${path}" is in use by \\S+ \\(pid ${child.pid}\\); stop it`),
      ),
    });
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(existsSync(path)).toBe(true);
    server = await serveSnapshotter(path, idle);
    expect((await proxySnapshotter(channel, "mine").usage(ctx, "k")).inodes).toBe(2n);
  });
});

describe("sandbox controllers", () => {
  const status: SandboxStatus = {
    pid: 1,
    state: "SANDBOX_READY",
    info: new Map(),
    createdAt: undefined,
    exitedAt: undefined,
    extra: undefined,
    address: "/run/s.sock",
    version: 3,
  };
  const controller = {
    async status(_ctx, id) {
      if (id !== "s") throw notFound(`sandbox "${id}"`);
      return status;
    },
  } as Partial<SandboxController> as SandboxController;

  it("are served under every name by themselves", async () => {
    server = await serveSandboxController(path, controller);
    for (const name of ["mine", ""]) {
      expect(await proxySandboxController(channel, name).status(ctx, "s", false)).toEqual(status);
    }
  });

  it("are chosen by name in a daemon, with containerd's errors", async () => {
    const lookup = sandboxControllerLookup(new Map([["mine", controller]]));
    server = await serveOnSocket(path, [serveSandboxControllers(lookup)]);
    expect(await proxySandboxController(channel, "mine").status(ctx, "s", false)).toEqual(status);
    await expect(proxySandboxController(channel, "mine").status(ctx, "t", false)).rejects.toThrow('sandbox "t"');
    await expect(proxySandboxController(channel, "").status(ctx, "s", false)).rejects.toMatchObject({
      kind: "invalid-argument",
    });
    await expect(proxySandboxController(channel, "other").status(ctx, "s", false)).rejects.toMatchObject({
      kind: "not-found",
      message: 'sandbox controller "other" (loaded: mine): not found',
    });
  });
});
