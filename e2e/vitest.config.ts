import { BaseSequencer } from "vitest/node";
import type { TestSpecification } from "vitest/node";
import { defineConfig } from "vitest/config";

// Tests run against the sources of the workspace: the condition "ctrd-source" in each package's exports.
const conditions = ["ctrd-source", "node", "import", "module", "default"];

/** Files run in the order of their names, so that zz-leaks sees what all others left. */
class ByName extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => a.moduleId.localeCompare(b.moduleId));
  }
}

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    root: import.meta.dirname,
    include: ["*.test.ts"],
    globalSetup: ["support/global-state.ts"],
    // Bridges are only made in the network namespaces of the tests that are about them.
    env: { CTRD_NETWORK: "none" },
    pool: "forks",
    execArgv: ["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning"],
    fileParallelism: false,
    sequence: { sequencer: ByName },
    testTimeout: 60_000,
    hookTimeout: 90_000,
  },
});
