import { defineConfig } from "vitest/config";

// Tests run against the sources of the workspace: the condition "ctrd-source" in each package's exports.
const conditions = ["ctrd-source", "node", "import", "module", "default"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    pool: "forks",
    execArgv: ["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning"],
    include: ["packages/*/src/**/*.test.ts", "tools/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
