// The whole corpus, and half a second of mutations with a fixed seed, for each target. Longer: `npm run fuzz`.
import { expect, it } from "vitest";
import { repeatCommand, keep } from "./corpus.ts";
import { runTarget } from "./run-target.ts";
import { targets } from "./targets/index.ts";

it.each(targets.map((target) => [target.name, target] as const))(
  "%s",
  async (name, target) => {
    const { executions, faults } = await runTarget(target, { seed: 1, duration: 500 });
    const told = faults.map(({ input, error }) => `${error.stack}\nrepeat: ${repeatCommand(name, keep(name, input))}`);
    expect(told).toEqual([]);
    expect(executions).toBeGreaterThan(0);
  },
  60_000,
);
