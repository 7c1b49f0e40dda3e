/** How long the command line itself takes: `ctrd --version` beside `ctr --version`, 20 times. */
import { mustRun } from "@ctrd/testkit/fixtures";
import { ctrd } from "../command-line.ts";
import { timed, type Work } from "../work.ts";

const times = 20;

export const commandLineStart: Work = {
  name: "cli-start",
  unit: "ms",
  target: "ours <= 120 ms",
  async run(side) {
    const start = side.name === "ours" ? () => ctrd("--version") : () => mustRun("ctr", ["--version"]);
    const total = await timed(async () => {
      for (let i = 0; i < times; i++) await start();
    });
    return total / times;
  },
};
