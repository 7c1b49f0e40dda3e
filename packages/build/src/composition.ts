/**
 * The modules that are different in an executable: its start, and the list of its plugin packages.
 *
 * @module
 */
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin } from "esbuild";
import type { Discovery } from "@ctrd/server";
import { packagesOf } from "@ctrd/server";

/** The file that `@ctrd/server` is imported from, in its `dist` or its `src`. */
const serverIndex = fileURLToPath(import.meta.resolve("@ctrd/server"));

function serverFile(name: string): string {
  return join(dirname(serverIndex), name + extname(serverIndex));
}

/** Replaces the default set of the server by the packages of an app. */
export function compositionPlugin(app: Discovery): Plugin {
  return {
    name: "ctrd-composition",
    setup(build) {
      build.onResolve({ filter: /^ctrd-main$/ }, ({ path }) => ({ path, namespace: "ctrd-composition" }));
      build.onLoad({ filter: /.*/, namespace: "ctrd-composition" }, () => ({
        contents: mainModule(),
        resolveDir: dirname(serverIndex),
      }));
      build.onLoad({ filter: /\bbuiltins\.[jt]s$/, namespace: "file" }, ({ path }) =>
        path === serverFile("builtins")
          ? { contents: builtinsModule(app), loader: "js" as const, resolveDir: dirname(serverIndex) }
          : undefined,
      );
    },
  };
}

function mainModule(): string {
  return `import { runCommandLine } from ${JSON.stringify(serverFile("cli/run"))};
export const start = () => runCommandLine(process.argv.slice(2));`;
}

function builtinsModule(app: Discovery): string {
  const entries = new Map(app.packages.map((one) => [one.name, one]));
  const imports: string[] = [];
  const list = packagesOf(app).map(({ name }, index) => {
    const own = entries.get(name);
    const version = own?.source.version ?? versionOfBuiltin(name);
    const entry = own?.entry ?? `${name}/plugin`;
    const source = JSON.stringify({ name, version });
    imports.push(`import * as plugin${index} from ${JSON.stringify(entry)};`);
    return `{ name: ${JSON.stringify(name)}, source: ${source}, load: async () => plugin${index} }`;
  });
  return `${imports.join("\n")}
export const isClosed = true;
export const builtins = [${list.join(", ")}];`;
}

function versionOfBuiltin(name: string): string {
  const manifest = createRequire(serverIndex)(`${name}/package.json`) as { readonly version: string };
  return manifest.version;
}
