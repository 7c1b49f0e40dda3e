import { describe, expect, it } from "vitest";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { configSchema } from "../config/index.ts";
import { silentLogger } from "../log.ts";
import type { AnyRegistration, InitContext, InitPluginsOptions, LoadedPlugin, Registration } from "./index.ts";
import { initPlugins, optional, orderPlugins, pluginRef, pluginType, pluginUri, SkipPlugin } from "./index.ts";

const A = pluginType<string>("test.a.v1");
const B = pluginType<string>("test.b.v1");
const C = pluginType<string>("test.c.v1");

function plugin<T>(
  type: Registration<T>["type"],
  id: string,
  requires: Registration["requires"] = [],
  initFn: (ic: InitContext<undefined>) => T | Promise<T> = () => `${type.name}/${id}` as T,
): LoadedPlugin {
  const registration: Registration<T> = { type, id, requires, initFn };
  return { registration, source: { name: `@test/${id}`, version: "1.0.0" } };
}

const uris = (plugins: readonly LoadedPlugin[]): string[] => plugins.map((one) => pluginUri(one.registration));

function init(
  plugins: readonly LoadedPlugin[],
  more: Partial<InitPluginsOptions> = {},
): ReturnType<typeof initPlugins> {
  const daemon = {
    version: "1",
    revision: "r",
    address: "/a",
    ttrpcAddress: "/a.ttrpc",
    binary: "/bin/ctrd",
    debug: false,
    timeouts: new Map<string, number>(),
  };
  return initPlugins({
    plugins,
    root: "/root-dir",
    state: "/state-dir",
    daemon,
    log: silentLogger,
    signal: new AbortController().signal,
    ...more,
  });
}

describe("orderPlugins", () => {
  it("puts dependencies first and keeps the list's order otherwise", () => {
    const list = [
      plugin(A, "1", [B]),
      plugin(C, "1"),
      plugin(B, "2"),
      plugin(B, "1", [pluginRef(C, "2")]),
      plugin(C, "2"),
    ];
    expect(uris(orderPlugins(list).order)).toEqual([
      "test.b.v1.2",
      "test.c.v1.2",
      "test.b.v1.1",
      "test.a.v1.1",
      "test.c.v1.1",
    ]);
  });

  it("orders by optional requirements without insisting on them", () => {
    const list = [plugin(A, "1", [optional(B), optional(pluginRef(C, "none"))]), plugin(B, "1")];
    const result = orderPlugins(list);
    expect(uris(result.order)).toEqual(["test.b.v1.1", "test.a.v1.1"]);
    expect(result.missing.size).toBe(0);
  });

  it("names the whole ring", () => {
    const list = [
      plugin(C, "0", [A]),
      plugin(A, "1", [B]),
      plugin(B, "2", [pluginRef(C, "3")]),
      plugin(C, "3", [pluginRef(A, "1")]),
    ];
    expect(() => orderPlugins(list)).toThrow(
      "test.a.v1.1 (@test/1@1.0.0) → test.b.v1.2 (@test/2@1.0.0) → test.c.v1.3 (@test/3@1.0.0) → test.a.v1.1 (@test/1@1.0.0)",
    );
  });

  it("names both packages of a duplicate", () => {
    const twin = { ...plugin(A, "1"), source: { name: "@other/x", version: "2.0.0" } };
    expect(() => orderPlugins([plugin(A, "1"), twin])).toThrow(
      "plugin test.a.v1.1 is registered twice, by @test/1@1.0.0 and @other/x@2.0.0; " +
        "remove one of these packages, or give one of the plugins another id",
    );
  });

  it("says who wants what is missing, and what to do", () => {
    const wanting = plugin(A, "1", [pluginRef(B, "x")]);
    expect(orderPlugins([wanting, plugin(B, "y")]).missing.get(wanting)).toEqual({
      error: "test.a.v1.1 (@test/1@1.0.0) requires plugin test.b.v1.x, and there is none",
      remedy: "add a package that provides plugin test.b.v1.x to the daemon",
    });
    const off = orderPlugins([wanting, plugin(B, "x")], { disabled: ["test.b.v1.x"] });
    expect(off.missing.get(wanting)?.remedy).toBe("remove test.b.v1.x from disabled_plugins");
    expect(uris(off.disabled)).toEqual(["test.b.v1.x"]);
  });
});

describe("initPlugins", () => {
  it("hands out what was required, and directories", async () => {
    let seen: unknown[] = [];
    const user = plugin(A, "user", [B, pluginRef(C, "1"), optional(pluginRef(C, "9"))], (ic) => {
      seen = [ic.getAll(B), [...ic.getById(B)], ic.get(pluginRef<string>(C, "1")), ic.find(pluginRef<string>(C, "9"))];
      return `${ic.root} ${ic.state}`;
    });
    const set = await init([user, plugin(B, "1"), plugin(B, "2"), plugin(C, "1")]);
    expect(seen).toEqual([
      ["test.b.v1/1", "test.b.v1/2"],
      [
        ["1", "test.b.v1/1"],
        ["2", "test.b.v1/2"],
      ],
      "test.c.v1/1",
      undefined,
    ]);
    expect(set.getAll(A)).toEqual(["/root-dir/test.a.v1.user /state-dir/test.a.v1.user"]);
    expect(set.find(pluginRef<string>(C, "1"))).toBe("test.c.v1/1");
    expect(set.statuses.map((status) => status.state)).toEqual(["ok", "ok", "ok", "ok"]);
    expect(set.statuses.at(-1)?.requires).toEqual(["test.b.v1", "test.c.v1"]);
  });

  it("refuses what was not required, naming both", async () => {
    const nosy = plugin(A, "nosy", [pluginRef(B, "1")], (ic) => ic.getAll(B).join());
    const set = await init([nosy, plugin(B, "1")]);
    expect(set.statuses.at(-1)?.error).toMatch(/plugin test\.a\.v1\.nosy .* asks for test\.b\.v1 without requiring it/);
  });

  it("refuses to choose among several, and names them", async () => {
    const set = await init([plugin(A, "1", [B], (ic) => ic.get(B)), plugin(B, "x"), plugin(B, "y")]);
    expect(set.statuses.at(-1)?.error).toContain("asks for the one plugin of type test.b.v1, but there are x, y");
  });

  it("passes the cause of a failure on to what depends on it", async () => {
    const broken = plugin(C, "broken", [], () => {
      throw new Error("disk on fire");
    });
    const shy = plugin(B, "shy", [], () => {
      throw new SkipPlugin("no overlayfs", "load the module");
    });
    const set = await init([
      plugin(A, "1", [B]),
      plugin(A, "2", [C]),
      plugin(A, "3", [pluginRef(A, "2")]),
      plugin(A, "4", [optional(B)], (ic) => ic.get(B)),
      plugin(A, "5", [pluginRef(B, "none")]),
      shy,
      broken,
    ]);
    const byUri = new Map(set.statuses.map((status) => [`${status.type}.${status.id}`, status]));
    expect(byUri.get("test.b.v1.shy")).toMatchObject({
      state: "skipped",
      error: "no overlayfs",
      remedy: "load the module",
    });
    expect(byUri.get("test.c.v1.broken")).toMatchObject({ state: "failed", error: "disk on fire" });
    expect(byUri.get("test.a.v1.1")).toMatchObject({ state: "failed", remedy: "load the module" });
    expect(byUri.get("test.a.v1.1")?.error).toContain("requires test.b.v1, but test.b.v1.shy skipped: no overlayfs");
    expect(byUri.get("test.a.v1.2")?.error).toContain("test.c.v1.broken failed: disk on fire");
    expect(byUri.get("test.a.v1.3")?.error).toContain("disk on fire");
    expect(byUri.get("test.a.v1.4")?.error).toContain("because test.b.v1.shy is skipped: no overlayfs");
    expect(byUri.get("test.a.v1.5")?.error).toContain("requires plugin test.b.v1.none, and there is none");
  });

  it("is content with one good plugin of a required type", async () => {
    const shy = plugin(B, "shy", [], () => {
      throw new SkipPlugin("no", "none");
    });
    const set = await init([plugin(A, "1", [B], (ic) => ic.get(B)), shy, plugin(B, "good")]);
    expect(set.getAll(A)).toEqual(["test.b.v1/good"]);
  });

  it("shows disabled plugins and fails what requires them", async () => {
    const set = await init([plugin(A, "1", [B]), plugin(B, "1")], { disabled: ["test.b.v1.1"] });
    expect(set.statuses.map((status) => [status.id, status.state])).toEqual([
      ["1", "failed"],
      ["1", "disabled"],
    ]);
    expect(set.statuses[0]?.remedy).toBe("remove test.b.v1.1 from disabled_plugins");
  });

  it("validates configuration through the schema", async () => {
    const standard: StandardSchemaV1<unknown, { size: number }> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value) => {
          const size = (value as { size?: unknown }).size ?? 7;
          return typeof size === "number"
            ? { value: { size } }
            : { issues: [{ message: "no number", path: ["size"] }] };
        },
      },
    };
    const sized: Registration<string, { size: number }> = {
      type: A,
      id: "sized",
      config: configSchema(standard, () => ({})),
      initFn: (ic) => String(ic.config.size),
    };
    const list = [{ registration: sized as AnyRegistration }];
    const tables = (table: unknown): Partial<InitPluginsOptions> => ({ config: new Map([["test.a.v1.sized", table]]) });
    expect((await init(list)).getAll(A)).toEqual(["7"]);
    expect((await init(list, tables({ size: 3 }))).getAll(A)).toEqual(["3"]);
    const bad = await init(list, tables({ size: "x" }));
    expect(bad.statuses[0]?.error).toBe("configuration of test.a.v1.sized: size: no number");
  });

  it("closes in reverse order, once, whatever fails", async () => {
    const closed: string[] = [];
    const closing = (id: string, requires: Registration["requires"] = []): LoadedPlugin =>
      plugin(A, id, requires, (ic) => {
        ic.onClose(() => void closed.push(`${id}.1`));
        ic.onClose(async () => {
          await Promise.resolve();
          closed.push(`${id}.2`);
          throw new Error("cannot close");
        });
        return id;
      });
    const set = await init([closing("x", [pluginRef(A, "y")]), closing("y")]);
    await Promise.all([set.close(), set.close()]);
    await set.close();
    expect(closed).toEqual(["x.2", "x.1", "y.2", "y.1"]);
  });

  it("closes at once what a failing plugin had opened", async () => {
    let closed = 0;
    const failing = plugin(A, "1", [], (ic) => {
      ic.onClose(() => void closed++);
      throw new Error("late");
    });
    const set = await init([failing]);
    expect(closed).toBe(1);
    await set.close();
    expect(closed).toBe(1);
  });
});

describe("reload", () => {
  interface Settings {
    level: string;
    size: number;
  }
  const standard: StandardSchemaV1<unknown, Settings> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) => {
        const table = { level: "info", size: 1, ...(value as Partial<Settings>) };
        return typeof table.size === "number"
          ? { value: table }
          : { issues: [{ message: "no number", path: ["size"] }] };
      },
    },
  };
  const seen: Settings[] = [];
  const reloadable = (apply: (config: Settings) => void): LoadedPlugin => {
    const registration: Registration<string, Settings> = {
      type: A,
      id: "1",
      config: configSchema(standard, () => ({})),
      initFn(ic) {
        ic.onReload(["level"], apply);
        return "x";
      },
    };
    return { registration: registration as AnyRegistration };
  };
  const tables = (table: unknown): Map<string, unknown> => new Map([["test.a.v1.1", table]]);

  it("applies declared keys, reports the others, and shows what is in force", async () => {
    const set = await init([reloadable((config) => void seen.push(config))]);
    expect(await set.reload(tables({}))).toEqual([]);
    expect(await set.reload(tables({ level: "debug", size: 2 }))).toEqual([
      { plugin: "test.a.v1.1", applied: ["level"], needRestart: ["size"] },
    ]);
    expect(seen).toEqual([{ level: "debug", size: 1 }]);
    expect(set.statuses[0]?.config).toEqual({ level: "debug", size: 1 });
    expect(await set.reload(tables({ level: "debug", size: 2 }))).toEqual([
      { plugin: "test.a.v1.1", applied: [], needRestart: ["size"] },
    ]);
  });

  it("keeps the old configuration when the new one is invalid or refused", async () => {
    const set = await init([
      reloadable(() => {
        throw new Error("busy");
      }),
    ]);
    expect(await set.reload(tables({ size: "x" }))).toMatchObject([{ error: expect.stringContaining("no number") }]);
    expect(await set.reload(tables({ level: "debug" }))).toMatchObject([{ applied: [], error: "busy" }]);
    expect(set.statuses[0]?.config).toEqual({ level: "info", size: 1 });
  });
});
