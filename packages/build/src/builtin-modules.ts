/**
 * Node's own modules in a bundle. Imported in the usual way, each gets a facade for which Node reads every property,
 * and some properties load much (`WebSocket` of `node:http`); here only what is used is read.
 *
 * @module
 */
import { isBuiltin } from "node:module";
import type { Plugin } from "esbuild";

/** Takes Node's modules from `process.getBuiltinModule`. */
export const builtinModules: Plugin = {
  name: "ctrd-builtin-modules",
  setup(build) {
    build.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
      if (!isBuiltin(path) || kind === "entry-point") return undefined;
      return { path, namespace: kind.startsWith("require") ? "ctrd-required-builtin" : "ctrd-builtin" };
    });
    build.onLoad({ filter: /.*/, namespace: "ctrd-builtin" }, ({ path }) => ({ contents: importedModule(path) }));
    build.onLoad({ filter: /.*/, namespace: "ctrd-required-builtin" }, ({ path }) => ({
      contents: `module.exports = ${expressionOf(path)};`,
    }));
  },
};

function expressionOf(name: string): string {
  return `process.getBuiltinModule(${JSON.stringify(name)})`;
}

/** An ES module that exports what the builtin module does. esbuild drops the exports that nobody imports. */
function importedModule(name: string): string {
  const names = Object.keys(process.getBuiltinModule(name) ?? {}).filter((key) => /^[\w$]+$/.test(key));
  const lines = names.map((key, index) => `const e${index} = /* @__PURE__ */ (() => builtin.${key})();`);
  const list = names.map((key, index) => (key === "default" ? "" : `e${index} as ${key}, `)).join("");
  return `const builtin = /* @__PURE__ */ ${expressionOf(name)};
${lines.join("\n")}
export { ${list}builtin as default };`;
}
