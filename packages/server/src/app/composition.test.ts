import type { AnyRegistration, LoadedPlugin, PluginSource } from "@ctrd/core/plugin";
import { optional, pluginRef, pluginType } from "@ctrd/core/plugin";
import { describe, expect, it } from "vitest";
import { builtins } from "../builtins.ts";
import { composeDaemon } from "../daemon.ts";
import { plainMessage } from "../plain-message.ts";
import type { PluginList } from "./plugin-list.ts";
import { defaultPlugins, pluginsOf } from "./plugin-list.ts";

const A = pluginType<string>("test.a.v1");
const B = pluginType<string>("test.b.v1");

const one: PluginSource = { name: "one", version: "1.0.0", directory: "/one" };
const two: PluginSource = { name: "two", version: "2.0.0", directory: "/two" };

function plugin(
  source: PluginSource,
  type: AnyRegistration["type"],
  id: string,
  requires: AnyRegistration["requires"] = [],
): LoadedPlugin {
  return { source, registration: { type, id, requires, initFn: () => id } };
}

async function errorOf(plugins: PluginList, config: Record<string, unknown> = {}): Promise<string | undefined> {
  try {
    await composeDaemon({ plugins, config });
    return undefined;
  } catch (error) {
    return plainMessage(error);
  }
}

describe("composeDaemon refuses", () => {
  it("two plugins of one name", async () => {
    expect(await errorOf([plugin(one, A, "x"), plugin(two, A, "x")])).toBe(
      "plugin test.a.v1.x is registered twice, by one@1.0.0 and two@2.0.0; " +
        "remove one of these packages, or give one of the plugins another id",
    );
  });

  it("a ring of requirements", async () => {
    expect(await errorOf([plugin(one, A, "x", [B]), plugin(two, B, "y", [pluginRef(A, "x")])])).toBe(
      "plugins require each other in a ring: test.a.v1.x (one@1.0.0) → test.b.v1.y (two@2.0.0) → " +
        "test.a.v1.x (one@1.0.0); remove one of these packages or requirements",
    );
  });

  it("a package whose requirements nobody meets", async () => {
    expect(await errorOf([plugin(one, A, "x", [optional(B), pluginRef(B, "y")]), plugin(two, B, "z")])).toBe(
      "plugin test.a.v1.x (one@1.0.0) requires plugin test.b.v1.y, and there is none; " +
        "add a package that provides plugin test.b.v1.y to the daemon, or remove one",
    );
    const nameless = plugin(one, A, "x", [B]).registration;
    expect(await errorOf([nameless, plugin(two, A, "y", [B])])).toBe(
      "plugin test.a.v1.x requires a plugin of type test.b.v1, and there is none; " +
        "add a package that provides a plugin of type test.b.v1 to the daemon, or remove test.a.v1.x (and 1 more)",
    );
  });

  it("neither what is disabled, nor a part of a package", async () => {
    const pair = [plugin(one, A, "x", [B]), plugin(two, B, "y")];
    expect(await errorOf(pair, { disabled_plugins: ["test.b.v1.y"] })).toBeUndefined();
    expect(await errorOf(pair.slice(0, 1), { disabled_plugins: ["test.a.v1.x"] })).toBeUndefined();
    expect(await errorOf([plugin(one, A, "x", [B]), plugin(one, A, "y")])).toBeUndefined();
  });

  it("what is no plugin, by its position in the list", async () => {
    const { registration } = plugin(one, A, "x");
    const bad = { ...registration, initFn: undefined } as unknown as AnyRegistration;
    const hint = "; list the default exports of plugin entries, or packages such as builtins";
    expect(await errorOf([registration, bad])).toBe(`plugins[1].initFn must be a function and is missing${hint}`);
    expect(await errorOf([[registration, bad]])).toBe(`plugins[0][1].initFn must be a function and is missing${hint}`);
    expect(await errorOf([{ registration: bad }])).toBe(
      `plugins[0].registration.initFn must be a function and is missing${hint}`,
    );
    expect(await errorOf(["x"] as unknown as PluginList)).toBe(
      `plugins[0] must be a registration (an object) and is "x"${hint}`,
    );
    const broken = { name: "b", source: one, load: async () => Promise.reject(new Error("boom")) };
    expect(await errorOf([broken])).toBe(
      "import plugin package one@1.0.0 in /one: boom; upgrade it, or remove it from the list of plugins",
    );
  });
});

describe("a list of plugins", () => {
  it("may hold packages, and knows where each is from", async () => {
    const mine = plugin(one, A, "x").registration;
    const plugins = await pluginsOf([...builtins, mine]);
    expect(plugins.slice(0, -1).map(({ source }) => source)).toEqual(
      (await defaultPlugins()).map(({ source }) => source),
    );
    expect(plugins.at(-1)).toEqual({ registration: mine });
    const [content] = plugins;
    expect(content?.source).toEqual({
      name: "@ctrd/content-local",
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      directory: expect.stringMatching(/\/content-local$/),
    });
  });
});
