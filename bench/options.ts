/** Command line of the benchmark. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { workspaceRoot } from "@ctrd/testkit/fixtures";

export interface BenchOptions {
  /** Names of the works to do; empty: all. */
  readonly only: readonly string[];
  /** The containerd to compare with. */
  readonly peer: string;
  /** Runs of each work and side. */
  readonly runs: number;
  /** Whether our side is started from its sources or its build. */
  readonly from: "source" | "dist";
  /** A second containerd in our place, to see the noise of the machine. */
  readonly self: boolean;
}

export const usage = `npm run bench -- [--only NAME]... [--peer FILE] [--runs N] [--from source|dist] [--self]
  --only   one work (repeat for more)
  --peer   another containerd binary to compare with (default: containerd)
  --runs   measured runs of each work and side, in turn (default: 5)
  --from   start ctrd from its sources or its build (default: dist when it is built)
  --self   compare the peer with itself: how far the machine's noise goes`;

export function readOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string", multiple: true },
      peer: { type: "string", default: "containerd" },
      runs: { type: "string", default: "5" },
      from: { type: "string" },
      self: { type: "boolean", default: false },
    },
  });
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs ${values.runs}: not a positive number\n${usage}`);
  const built = existsSync(join(workspaceRoot, "packages/server/dist/main.js"));
  const from = values.from ?? (built ? "dist" : "source");
  if (from !== "source" && from !== "dist") throw new Error(`--from ${from}: neither source nor dist\n${usage}`);
  return { only: values.only ?? [], peer: values.peer, runs, from, self: values.self };
}
