import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import type { IntrospectionService } from "@ctrd/core/introspection";
import type { PluginStatus } from "@ctrd/core/plugin";
import { IntrospectionDefinition } from "@ctrd/api/services/introspection/v1/introspection";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RpcChannel, ServedSocket } from "../index.ts";
import { openChannel, proxyIntrospection, serveIntrospection, serveOnSocket } from "../index.ts";
import { plainConfig } from "./plain-config.ts";

const ctx = createContext();
const answer = { typeUrl: "example.Answer", value: Buffer.from([1]) };

const status = (more: Partial<PluginStatus>): PluginStatus => ({
  type: "t.v1",
  id: "i",
  requires: ["u.v1"],
  state: "ok",
  meta: { exports: new Map([["root", "/r"]]), platforms: [], capabilities: [] },
  ...more,
});

let directory: string;
let server: ServedSocket;
let channel: RpcChannel;
let current: PluginStatus;
let extra: typeof answer | undefined;

const service = {
  plugins: async () => [current],
  pluginInfo: async () => ({ plugin: current, extra }),
} as Partial<IntrospectionService> as IntrospectionService;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-introspection-"));
  extra = undefined;
  server = await serveOnSocket(join(directory, "s.sock"), [serveIntrospection(service)]);
  channel = openChannel(join(directory, "s.sock"));
});
afterEach(async () => {
  channel.close();
  await server.stop();
  await rm(directory, { recursive: true });
});

const info = async (): Promise<PluginStatus> =>
  (await proxyIntrospection(channel).pluginInfo(ctx, "t.v1", "i", undefined)).plugin;

describe("introspection over a socket", () => {
  const requirements = [
    { type: "u.v1", optional: false },
    { type: "u.v1", id: "x", optional: true },
  ];

  it.each<Partial<PluginStatus>>([
    { source: { name: "p", version: "1.2.3", directory: "/d" }, requirements, config: { a: { b: [1, "x"] } } },
    { source: { name: "p", version: "1.2.3" }, state: "skipped", error: "no overlay", remedy: "load it" },
    { state: "failed", error: "boom" },
    { state: "disabled", error: "disabled by configuration", remedy: "enable it" },
    {},
  ])("gives the whole status of a plugin back: %j", async (more) => {
    current = status(more);
    const received = await info();
    // Tables of a configuration have no prototype.
    expect(JSON.parse(JSON.stringify(received))).toEqual(JSON.parse(JSON.stringify(current)));
    expect(received.meta.exports).toEqual(current.meta.exports);
  });

  it("shows any client the package among the exports, and the remedy in the error", async () => {
    current = status({
      source: { name: "p", version: "1.2.3", directory: "/d" },
      state: "skipped",
      error: "no overlay",
      remedy: "load it",
    });
    const { plugins } = await channel.client(IntrospectionDefinition).plugins(ctx, { filters: [] });
    expect([...(plugins[0]?.exports ?? [])]).toEqual([
      ["root", "/r"],
      ["ctrd.package", "p"],
      ["ctrd.version", "1.2.3"],
      ["ctrd.directory", "/d"],
    ]);
    expect(plugins[0]?.initErr?.message).toBe("no overlay (load it): skip plugin");
    const [listed] = await proxyIntrospection(channel).plugins(ctx, []);
    expect(listed).toMatchObject({ source: current.source, state: "skipped", error: "no overlay (load it)" });
  });

  it("sends no secrets", async () => {
    current = status({ config: { auth: { password: "p", identity_token: "t", user: "u" }, client_secret: "" } });
    expect(JSON.stringify((await info()).config)).toBe(
      '{"auth":{"password":"***","identity_token":"***","user":"u"},"client_secret":""}',
    );
  });

  it("leaves a plugin's own answer alone, and a question with options unanswered", async () => {
    current = status({});
    const ask = proxyIntrospection(channel);
    expect((await ask.pluginInfo(ctx, "t.v1", "i", answer)).extra).toBeUndefined();
    extra = answer;
    expect((await ask.pluginInfo(ctx, "t.v1", "i", answer)).extra).toEqual(answer);
    expect((await ask.pluginInfo(ctx, "t.v1", "i", undefined)).extra).toEqual(answer);
  });

  it.each(["{", "[]", '{"state":"fine"}', '{"state":"ok","source":{"name":1}}', '{"state":"ok","requirements":[{}]}'])(
    "refuses details of an unknown shape: %s",
    async (text) => {
      current = status({});
      extra = { typeUrl: "types.ctrd.dev/plugin-details.v1+json", value: Buffer.from(text) };
      await expect(info()).rejects.toMatchObject({ kind: "data-loss" });
    },
  );
});

describe("plainConfig", () => {
  it("makes data of whatever a schema makes", () => {
    const config = {
      at: new Date(0),
      big: 1n << 62n,
      small: 5n,
      pattern: /x/,
      map: new Map<string, unknown>([["__proto__", { key_data: "k" }]]),
      set: new Set([1]),
      none: undefined,
      run: () => 1,
    };
    expect(JSON.stringify(plainConfig(config))).toBe(
      '{"at":"1970-01-01T00:00:00.000Z","big":"4611686018427387904","small":5,"pattern":"/x/",' +
        '"map":{"__proto__":{"key_data":"***"}},"set":[1]}',
    );
  });
});
