// App folders as npm would install them: real packages in real node_modules, imported for real.
import { chown, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pluginUri } from "@ctrd/core/plugin";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { plainMessage } from "../plain-message.ts";
import { version } from "../version.ts";
import { builtins } from "../builtins.ts";
import { findAppFolder } from "./app-folder.ts";
import { serverDirectory } from "./core-copies.ts";
import { discoverPlugins } from "./discover.ts";
import { loadApp, packagesOf } from "./load-app.ts";
import { findPackage } from "./package-manifest.ts";

let app: string;
const cwd = process.cwd();

beforeEach(async () => {
  app = await realpath(await mkdtemp(join(tmpdir(), "ctrd-app-")));
});
afterEach(async () => {
  process.chdir(cwd);
  await rm(app, { recursive: true });
});

async function write(path: string, content: unknown): Promise<void> {
  await mkdir(dirname(join(app, path)), { recursive: true });
  await writeFile(join(app, path), typeof content === "string" ? content : JSON.stringify(content));
}

/** A plugin entry that exports what the expression says. */
const exporting = (expression: string): string => `export default ${expression};\n`;
const registration = (id: string): string => `{ type: { name: "test.thing.v1" }, id: "${id}", initFn: () => 1 }`;
const thing = (id: string): string => exporting(registration(id));

/** Installs a package with a plugin, as an author would publish it. */
async function install(name: string, code: string, manifest: Record<string, unknown> = {}): Promise<void> {
  const fields = { exports: { "./plugin": "./plugin.js" }, ctrd: { plugin: "./plugin", api: 1 }, ...manifest };
  await write(`node_modules/${name}/package.json`, { name, version: "1.2.3", type: "module", ...fields });
  await write(`node_modules/${name}/plugin.js`, code);
}

async function writeApp(dependencies: readonly string[], more: Record<string, unknown> = {}): Promise<void> {
  const ranges = Object.fromEntries(dependencies.map((name) => [name, "*"]));
  await write("package.json", { name: "own", private: true, dependencies: ranges, ...more });
}

/** The one line that `ctrd --app` ends with. */
async function errorOf(): Promise<string> {
  try {
    await loadApp(app);
  } catch (error) {
    return plainMessage(error);
  }
  throw new Error("loaded");
}

describe("discoverPlugins", () => {
  it("finds the dependencies that are plugin packages, and says what it passed over", async () => {
    await install("one", thing("one"));
    await install("@scope/two", thing("two"), { exports: { "./*": { import: "./*.js" } } });
    await install("three", thing("three"), { exports: undefined, ctrd: { plugin: "./plugin.js", api: 1 } });
    await install("claims", "", { ctrd: undefined, keywords: ["ctrd-plugin"] });
    await install("plain", "", { ctrd: undefined });
    await install("unlisted", thing("unlisted"));
    await writeApp(["one", "plain", "claims", "three", "gone"], {
      optionalDependencies: { "@scope/two": "*", gone: "*" },
    });
    const { packages, passedOver } = await discoverPlugins(app);
    expect(packages.map(({ name, entry }) => [name, entry])).toEqual([
      ["one", `${app}/node_modules/one/plugin.js`],
      ["three", `${app}/node_modules/three/plugin.js`],
      ["@scope/two", `${app}/node_modules/@scope/two/plugin.js`],
    ]);
    expect(packages[0]?.source).toEqual({ name: "one", version: "1.2.3", directory: `${app}/node_modules/one` });
    expect(passedOver).toEqual([
      { name: "claims", reason: 'it has the keyword "ctrd-plugin", but no "ctrd.plugin" in its package.json' },
      { name: "gone", reason: "it is an optional dependency and not installed" },
    ]);
  });

  it("finds hoisted and linked packages", async () => {
    await install("hoisted", thing("hoisted"));
    await install("store/node_modules/linked", thing("linked"));
    await write("apps/mine/package.json", { dependencies: { hoisted: "*", linked: "*" } });
    await mkdir(join(app, "apps/mine/node_modules"));
    await symlink(join(app, "node_modules/store/node_modules/linked"), join(app, "apps/mine/node_modules/linked"));
    const { packages } = await discoverPlugins(join(app, "apps/mine"));
    expect(packages.map(({ source }) => source.directory)).toEqual([
      `${app}/node_modules/hoisted`,
      `${app}/node_modules/store/node_modules/linked`,
    ]);
  });

  it("counts the app itself when it has a plugin", async () => {
    await write("mine.js", thing("mine"));
    await writeApp([], { type: "module", version: "3.0.0", ctrd: { plugin: "./mine.js", api: 1, builtins: false } });
    const { plugins } = await loadApp(app);
    expect(plugins.map(({ registration: found, source }) => [pluginUri(found), source])).toEqual([
      ["test.thing.v1.mine", { name: "own", version: "3.0.0", directory: app }],
    ]);
  });
});

describe("loadApp", () => {
  it("adds an app's plugins to the built-in ones, or takes them instead", async () => {
    await install("one", exporting(`[${registration("x1")}, ${registration("x2")}]`));
    await writeApp(["one"]);
    const { plugins, app: discovery } = await loadApp(app);
    const names = plugins.map((plugin) => pluginUri(plugin.registration));
    expect(names).toContain("io.containerd.snapshotter.v1.overlayfs");
    expect(names.slice(-2)).toEqual(["test.thing.v1.x1", "test.thing.v1.x2"]);
    expect(discovery?.directory).toBe(app);
    for (const plugin of plugins) expect(plugin.source).toMatchObject({ version: expect.stringMatching(/^\d/) });
    await writeApp(["one"], { ctrd: { builtins: false } });
    expect((await loadApp(app)).plugins.length).toBe(2);
    await writeApp(["one"], { ctrd: { builtins: ["@ctrd/content-local"] } });
    expect((await loadApp(app)).plugins.map((plugin) => plugin.registration.id)).toEqual(["content", "x1", "x2"]);
  });

  it("prefers an app's own copy of a built-in package", async () => {
    await install("@ctrd/snapshot-native", thing("native"), { version: "9.0.0" });
    await writeApp(["@ctrd/snapshot-native"]);
    const list = packagesOf(await discoverPlugins(app));
    expect(list.map(({ name, source }) => (source === undefined ? name : `${name}@${source.version}`))).toEqual(
      builtins.map(({ name }) => (name === "@ctrd/snapshot-native" ? `${name}@9.0.0` : name)),
    );
  });
});

describe("the app folder", () => {
  it("is the current directory when its package.json says so", async () => {
    process.chdir(app);
    expect(await findAppFolder(undefined)).toBeUndefined();
    await writeApp(["express"]);
    expect(await findAppFolder(undefined)).toBeUndefined();
    await writeApp(["@ctrd/server"]);
    expect((await findAppFolder(undefined))?.directory).toBe(app);
    await writeApp([], { ctrd: {} });
    expect((await findAppFolder(undefined))?.directory).toBe(app);
  });

  it("is not somebody else's by accident", async ({ skip }) => {
    skip(process.getuid?.() !== 0, "needs root to give a file away");
    await writeApp([], { ctrd: {} });
    await chown(join(app, "package.json"), 12_345, 0);
    process.chdir(app);
    await expect(findAppFolder(undefined)).rejects.toThrow(
      `package.json in the current directory ${app} belongs to user 12345; to run its plugins, give --app .`,
    );
    expect((await findAppFolder("."))?.directory).toBe(app);
  });
});

const server = `@ctrd/server@${version}`;

describe("one error names package, version and remedy", () => {
  const at = (text: string): string => text.replaceAll("APP", app);

  it.each<[string, string, Record<string, unknown>, string]>([
    [
      "a newer API",
      "",
      { ctrd: { plugin: "./plugin", api: 2 } },
      `bad@1.2.3 is written for plugin API 2, this ctrd (${server}) has API 1; upgrade @ctrd/server, or install an older bad`,
    ],
    [
      "an older API",
      "",
      { ctrd: { plugin: "./plugin", api: 0 } },
      `bad@1.2.3 is written for plugin API 0, this ctrd (${server}) has API 1; install a newer bad`,
    ],
    [
      "no API",
      "",
      { ctrd: { plugin: "./plugin" } },
      'bad@1.2.3: "ctrd.api" in its package.json must be a number and is missing; its authors must set it to the plugin API they wrote it for; until then remove it',
    ],
    [
      "an API that is no number",
      "",
      { ctrd: { plugin: "./plugin", api: "1" } },
      'bad@1.2.3: "ctrd.api" in its package.json must be a number and is "1"; its authors must set it to the plugin API they wrote it for; until then remove it',
    ],
    [
      "a bad entry",
      "",
      { ctrd: { plugin: "plugin.js", api: 1 } },
      'bad@1.2.3: "ctrd.plugin" in its package.json is "plugin.js"; its authors must name the entry, as in "./plugin"; until then remove it',
    ],
    [
      "an entry that is not exported",
      "",
      { exports: { ".": "./plugin.js" } },
      'bad@1.2.3 in APP/node_modules/bad: its "ctrd.plugin" is "./plugin", which its "exports" do not have; its authors must add it, until then remove it',
    ],
    [
      "an entry that is not there",
      "",
      { exports: { "./plugin": "./dist/plugin.js" } },
      'bad@1.2.3 in APP/node_modules/bad: its "ctrd.plugin" is "./plugin", but APP/node_modules/bad/dist/plugin.js is no file; build or reinstall bad',
    ],
    [
      "a throw on import",
      'throw new Error("no licence\\nsecond line");',
      {},
      "import plugin package bad@1.2.3 in APP/node_modules/bad: no licence; upgrade it, or remove it from APP/package.json",
    ],
    [
      "no default export",
      "export const plugin = 1;",
      {},
      "the plugin entry of bad@1.2.3 in APP/node_modules/bad exports no plugin: it has no default export; its authors must export a registration, or an array of them, as the default",
    ],
    [
      "a registration without initFn",
      exporting('[{ type: { name: "t.v1" }, id: "x", initFn() {} }, { type: { name: "t.v1" }, id: "y" }]'),
      {},
      "the plugin entry of bad@1.2.3 in APP/node_modules/bad exports no plugin: default[1].initFn must be a function and is missing; its authors must export a registration, or an array of them, as the default",
    ],
  ])("%s", async (_case, code, manifest, message) => {
    await install("bad", code, manifest);
    await writeApp(["bad"]);
    expect(await errorOf()).toBe(at(message));
  });

  it.each<[string, string]>([
    ["null", "default must be a registration (an object) and is null"],
    ["{ id: 'x' }", "default.type must be a plugin type and is missing"],
    ["{ type: { name: 'a/b' } }", 'default.type.name must be a name and is "a/b"'],
    [
      "{ type: { name: 't.v1' }, id: '../x' }",
      'default.id must be a name (letters, digits, ".", "_", "-") and is "../x"',
    ],
    [
      "{ type: { name: 't' }, id: 'x', initFn() {}, requires: {} }",
      "default.requires must be an array and is of type object",
    ],
    [
      "{ type: { name: 't' }, id: 'x', initFn() {}, requires: [{ optional: { name: 'u' } }, 'v'] }",
      'default.requires[1] must be a plugin type or reference and is "v"',
    ],
    [
      "{ type: { name: 't' }, id: 'x', initFn() {}, config: { standard: {} } }",
      "default.config must be what configSchema() returns and is of type object",
    ],
  ])("export default %s", async (expression, problem) => {
    await install("bad", exporting(expression));
    await writeApp(["bad"]);
    expect(await errorOf()).toContain(`exports no plugin: ${problem}; `);
  });

  it("a dependency that is not installed, and how many more mistakes there are", async () => {
    await writeApp(["gone", "lost"]);
    expect(await errorOf()).toBe(
      at('gone, a dependency of APP/package.json, is not installed; run "npm install" in APP (and 1 more)'),
    );
  });

  it("a folder without a package.json, or with a broken one", async () => {
    expect(await errorOf()).toBe(
      at("app folder APP has no package.json; give a folder whose package.json depends on the plugins"),
    );
    await write("package.json", "{");
    expect(await errorOf()).toContain(at("APP/package.json is not JSON: "));
    await write("package.json", "[]");
    expect(await errorOf()).toBe(at("APP/package.json is not a JSON object"));
  });

  it.each<[unknown, string]>([
    [{ builtin: false }, 'unknown key "builtin", did you mean "builtins"?'],
    [{ builtins: "none" }, '"builtins" must be true, false or an array of package names'],
    [
      { builtins: ["@ctrd/snapshot-nativ"] },
      '"builtins" names "@ctrd/snapshot-nativ", which is not built in, did you mean "@ctrd/snapshot-native"?',
    ],
  ])("a mistake in the app's own field: %j", async (ctrd, message) => {
    await writeApp([], { ctrd });
    expect(await errorOf()).toBe(at(`"ctrd" of APP/package.json: ${message}`));
  });
});

describe("two copies of core", () => {
  const core = { name: "@ctrd/core", version: "0.0.9", exports: {} };
  const link = async (name: string): Promise<void> => {
    await mkdir(join(app, "node_modules/@ctrd"), { recursive: true });
    const found = await findPackage(serverDirectory, name);
    await symlink(found?.directory ?? serverDirectory, join(app, "node_modules", name));
  };
  const ours = async (): Promise<string> => {
    const found = await findPackage(serverDirectory, "@ctrd/core");
    return `${server} uses ${String(found?.manifest.version)} in ${found?.directory}`;
  };

  it("in the plugin package", async () => {
    await install("bad", thing("x"));
    await write("node_modules/bad/node_modules/@ctrd/core/package.json", core);
    await link("@ctrd/core");
    await link("@ctrd/server");
    await writeApp(["bad"]);
    expect(await errorOf()).toBe(
      `two copies of @ctrd/core: bad@1.2.3 in ${app}/node_modules/bad uses 0.0.9 in ` +
        `${app}/node_modules/bad/node_modules/@ctrd/core, ${await ours()}; run "npm dedupe" in ${app}; ` +
        'bad must have @ctrd/core in its "peerDependencies" only',
    );
  });

  it("in an app that a ctrd from elsewhere runs", async () => {
    await install("good", thing("x"));
    await write("node_modules/@ctrd/core/package.json", core);
    await writeApp(["good"]);
    const began = `two copies of @ctrd/core: good@1.2.3 in ${app}/node_modules/good uses 0.0.9 in ${app}/node_modules/@ctrd/core, ${await ours()}; `;
    const ctrd = `${app}/node_modules/.bin/ctrd`;
    expect(await errorOf()).toBe(`${began}run "npm install @ctrd/server" in ${app}, then ${ctrd}`);
    await write("node_modules/@ctrd/server/package.json", { name: "@ctrd/server", version: "0.0.9" });
    expect(await errorOf()).toBe(`${began}run the app's own ctrd: ${ctrd}`);
  });

  it("in a linked folder that somebody works on", async () => {
    await write("work/mine/package.json", { name: "mine", version: "1.2.3", ctrd: { plugin: "./p.js", api: 1 } });
    await write("work/mine/p.js", thing("x"));
    await write("work/mine/node_modules/@ctrd/core/package.json", core);
    await write("app/package.json", { dependencies: { mine: "file:../work/mine", "@ctrd/server": "*" } });
    await mkdir(join(app, "app/node_modules/@ctrd"), { recursive: true });
    await symlink(join(app, "work/mine"), join(app, "app/node_modules/mine"));
    await symlink(serverDirectory, join(app, "app/node_modules/@ctrd/server"));
    await expect(loadApp(join(app, "app"))).rejects.toThrow(
      `${await ours()}; install a copy instead of a link: run "npm install --install-links ${app}/work/mine" in ${app}/app`,
    );
  });

  it("is not a link to the same one", async () => {
    await install("good", thing("x"));
    await link("@ctrd/core");
    await writeApp(["good"], { ctrd: { builtins: false } });
    expect((await loadApp(app)).plugins.length).toBe(1);
  });
});
