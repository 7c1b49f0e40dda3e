import { HealthCheckResponse_ServingStatus as Status, HealthDefinition } from "@ctrd/api/grpc/health/v1/health";
import { createContext } from "@ctrd/core/context";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RpcChannel } from "../rpc/index.ts";
import { openChannel } from "../rpc/index.ts";
import type { ServedSocket } from "../serve-on-socket.ts";
import { serveOnSocket } from "../serve-on-socket.ts";
import { fetchVersion } from "../version/proxy.ts";
import { serveVersion } from "../version/serve.ts";
import { checkHealth } from "./proxy.ts";
import type { Health } from "./serve.ts";
import { createHealth } from "./serve.ts";

const ctx = createContext();
let directory: string;
let health: Health;
let server: ServedSocket;
let channel: RpcChannel;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-health-"));
  health = createHealth();
  const version = serveVersion({ version: "1", revision: "r" });
  server = await serveOnSocket(join(directory, "s.sock"), [health.service, version]);
  channel = openChannel(server.path);
});
afterEach(async () => {
  channel.close();
  await server.stop();
  await rm(directory, { recursive: true });
});

describe("health and version", () => {
  it("answer", async () => {
    expect(await fetchVersion(channel, ctx)).toEqual({ version: "1", revision: "r" });
    expect(await checkHealth(channel, ctx)).toBe(true);
    health.set("", false);
    expect(await checkHealth(channel, ctx)).toBe(false);
    await expect(checkHealth(channel, ctx, "other")).rejects.toMatchObject({ kind: "not-found" });
    health.set("other", true);
    const { statuses } = await channel.client(HealthDefinition).list(ctx, {});
    expect([...statuses].map(([name, { status }]) => [name, status])).toEqual([
      ["", Status.NOT_SERVING],
      ["other", Status.SERVING],
    ]);
  });

  it("tell watchers of every change", async () => {
    const watching = channel.client(HealthDefinition).watch(ctx, { service: "x" })[Symbol.asyncIterator]();
    expect((await watching.next()).value).toEqual({ status: Status.SERVICE_UNKNOWN });
    health.set("x", true);
    expect((await watching.next()).value).toEqual({ status: Status.SERVING });
    health.set("x", true);
    health.set("x", false);
    expect((await watching.next()).value).toEqual({ status: Status.NOT_SERVING });
    await watching.return?.();
  });
});
