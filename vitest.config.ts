import { dirname, resolve } from "node:path";
import { defineConfig } from "vitest/config";

/**
 * Tests run against the sources of the workspace, by the condition "ctrd-source" in each package's exports. With
 * CTRD_TEST_FROM=dist (as `npm test` sets it, having built) worker threads run from the build: Node strips types with
 * WebAssembly, and V8 now and then aborts the process when many workers that do so come and go.
 */
const built = process.env["CTRD_TEST_FROM"] === "dist";
const conditions = ["ctrd-source", "node", "import", "module", "default"];

const builtWorkers = {
  name: "built-workers",
  enforce: "pre" as const,
  transform(code: string, id: string): string | undefined {
    if (!/\/packages\/[^/]+\/src\//.test(id) || !code.includes('worker.ts"')) return undefined;
    return code.replaceAll(/\? "(\.\/[\w-]*worker)\.ts"/g, (_whole, path: string) => {
      const file = `${resolve(dirname(id), path).replace("/src/", "/dist/")}.js`;
      return `? ${JSON.stringify(file)}`;
    });
  },
};

export default defineConfig({
  plugins: built ? [builtWorkers] : [],
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    pool: "forks",
    execArgv: [...(built ? [] : ["--conditions=ctrd-source"]), "--disable-warning=ExperimentalWarning"],
    include: ["packages/*/src/**/*.test.ts", "tools/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
