import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BundleFiles } from "./bundle.ts";
import { bundle } from "./bundle.ts";
import { bundleDirectory } from "./launcher/index-of-files.ts";

let directory: string;
let app: string;
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "ctrd-bundle-")));
  app = join(directory, "app");
  write({ "package.json": `{"name":"app","type":"module"}` });
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Writes files of the app. */
function write(files: Record<string, string | Uint8Array>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(app, path)), { recursive: true });
    writeFileSync(join(app, path), content);
  }
}

/** Bundles `main.js` of the app, takes the app away, and runs the bundle. */
async function run(): Promise<string> {
  const files = await bundle(join(app, "main.js"), [], app);
  const target = join(directory, "elsewhere", bundleDirectory);
  for (const [place, file] of new Map([...files, ["package.json", Buffer.from(`{"type":"module"}`)]]) as BundleFiles) {
    mkdirSync(dirname(join(target, place)), { recursive: true });
    writeFileSync(join(target, place), "copyOf" in file ? readFileSync(file.copyOf) : file);
  }
  rmSync(app, { recursive: true });
  const { stdout } = await promisify(execFile)(process.execPath, [join(target, "main.js")]);
  return stdout;
}

const say = `import { parentPort } from "node:worker_threads"; parentPort.postMessage`;
const hear = `import { once } from "node:events"; import { Worker } from "node:worker_threads";
const from = async (path) => (await once(new Worker(path), "message"))[0];\n`;

/** Real native modules: koffi has one for each C library. */
function koffiModules(): { glibc: string; musl: string } {
  const koffi = dirname(createRequire(import.meta.resolve("@ctrd/sys")).resolve("koffi"));
  const native = join(koffi, "../@koromix", `koffi-linux-${process.arch}`);
  const [glibc = "", musl = ""] = ["linux", "musl"].map((name) => join(native, `${name}_${process.arch}/koffi.node`));
  return { glibc, musl };
}

describe("a bundle", () => {
  it("has the worker threads of ES modules and of CommonJS packages, and those that these start", async () => {
    write({
      "main.js": `${hear}import old from "old";
        console.log(await from(new URL("./first-worker.mjs", import.meta.url)), await from(old.worker));`,
      "first-worker.mjs": `${hear}${say}("first, " + await from(new URL("deep/second.js", import.meta.url)));`,
      "deep/second.js": `${say}("second");`,
      "node_modules/old/package.json": `{"name":"old","version":"1.0.0"}`,
      "node_modules/old/index.js": `const { join } = require("path"); exports.worker = join(__dirname, "lib", "third.cjs");`,
      "node_modules/old/lib/third.cjs": `require("worker_threads").parentPort.postMessage("third " + require("./text").text);`,
      "node_modules/old/lib/text.js": `exports.text = "of old";`,
    });
    expect(await run()).toBe("first, second third of old\n");
  });

  it("has the files that modules read by their location, also by that of their package.json", async () => {
    write({
      "main.js": `import { readFileSync } from "node:fs"; import { createRequire } from "node:module"; import { version } from "mine";
        const required = createRequire(import.meta.url)("./answer.cjs");
        console.log(version, readFileSync(new URL("./data/text", import.meta.url), "utf8"), required(), import.meta.dirname.endsWith("/app"));`,
      "answer.cjs": `module.exports = () => 42;`,
      "data/text": "some text",
      "node_modules/mine/package.json": `{"name":"mine","version":"2.3.4","exports":"./dist/index.mjs"}`,
      "node_modules/mine/dist/index.mjs": `import { readFileSync } from "node:fs";
        export const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url)));`,
    });
    expect(await run()).toBe("2.3.4 some text 42 true\n");
  });

  it("has native packages as they are, with the modules that this Node can load", async () => {
    const modules = koffiModules();
    write({
      "main.js": `import n from "native"; console.log(typeof n.load, n.dependency);`,
      "node_modules/native/package.json": `{"name":"native","version":"1.0.0","dependencies":{"helper":"*"}}`,
      "node_modules/native/index.js": `const addon = require("./" + ["build", "addon.node"].join("/"));
        module.exports = { load: addon.load, dependency: require("helper") };`,
      "node_modules/native/build/addon.node": readFileSync(modules.glibc),
      "node_modules/native/build/other.node": readFileSync(modules.musl),
      "node_modules/native/src/addon.cc": "int main;",
      "node_modules/helper/package.json": `{"name":"helper","version":"1.0.0"}`,
      "node_modules/helper/index.js": `module.exports = "helped";`,
    });
    const files = [...(await bundle(join(app, "main.js"), [], app)).keys()].filter((place) => place.includes("native"));
    expect(files.sort()).toEqual([
      "node_modules/native/build/addon.node",
      "node_modules/native/index.js",
      "node_modules/native/package.json",
    ]);
    expect(await run()).toBe("function helped\n");
  });

  it("bundles a package with native code that uses the core, with its native modules", async () => {
    write({
      "main.js": `import plugin from "plugin"; import { core } from "@ctrd/core"; console.log(plugin.core === core, plugin.native);`,
      "node_modules/@ctrd/core/package.json": `{"name":"@ctrd/core","version":"1.0.0","type":"module"}`,
      "node_modules/@ctrd/core/index.js": `export const core = {};`,
      "node_modules/plugin/package.json": `{"name":"plugin","version":"1.0.0","type":"module","peerDependencies":{"@ctrd/core":"*"}}`,
      "node_modules/plugin/index.js": `import { createRequire } from "node:module"; import { core } from "@ctrd/core";
        const addon = createRequire(import.meta.url)("./build/addon.node");
        export default { core, native: typeof addon.load };`,
      "node_modules/plugin/build/addon.node": readFileSync(koffiModules().glibc),
    });
    expect(await run()).toBe("true function\n");
  });

  it("resolves what is relative to a module", async () => {
    write({
      "main.js": `${hear}console.log(await from(new URL(import.meta.resolve("./w.js"))), import.meta.resolve("node:fs"));`,
      "w.js": `${say}(import.meta.url.endsWith("/app/w.js"));`,
    });
    expect(await run()).toBe("true node:fs\n");
  });

  it("keeps two versions of a package apart", async () => {
    const which = `import { readFileSync } from "node:fs";
      export const read = () => readFileSync(new URL("./name", import.meta.url), "utf8");`;
    write({
      "main.js": `import { read } from "which"; import { inner } from "outer"; console.log(read(), inner());`,
      "node_modules/outer/package.json": `{"name":"outer","version":"1.0.0","type":"module"}`,
      "node_modules/outer/index.js": `export { read as inner } from "which";`,
    });
    for (const [home, version] of Object.entries({ "": "1.0.0", "node_modules/outer/": "2.0.0" })) {
      write({
        [`${home}node_modules/which/package.json`]: `{"name":"which","version":"${version}","type":"module"}`,
        [`${home}node_modules/which/index.js`]: which,
        [`${home}node_modules/which/name`]: `which ${version}`,
      });
    }
    expect(await run()).toBe("which 1.0.0 which 2.0.0\n");
  });

  it("has no failpoints, neither of the default packages nor of others", async () => {
    write({
      "main.js": `import { failpoints } from "@ctrd/core/failpoints";
        import { mountAll } from "@ctrd/sys";
        export async function place() {
          FAILPOINT: if (failpoints.on) await failpoints.at("mine.place");
          return mountAll;
        }`,
    });
    mkdirSync(join(app, "node_modules"));
    const packages = join(import.meta.dirname, "../../..", "node_modules/@ctrd");
    symlinkSync(packages, join(app, "node_modules/@ctrd"));
    const files = await bundle(join(app, "main.js"), [], app);
    const code = [...files.values()].map((file) => ("copyOf" in file ? "" : Buffer.from(file).toString())).join("\n");
    const traces = ["mountAll", "mine.place", "CTRD_FAILPOINTS", "ailpoint"];
    expect(traces.filter((trace) => code.includes(trace))).toEqual(["mountAll"]);
  });

  it("refuses what cannot be found", async () => {
    write({ "main.js": `import "absent";` });
    await expect(bundle(join(app, "main.js"), [], app)).rejects.toThrow(
      /^bundle the packages: .*main\.js:1:7: ERROR: Could not resolve "absent"/s,
    );
  });
});
