/**
 * `npm run power-loss -- --cuts 100`: takes a daemon's power at many moments of its work, as e2e/26-power-loss does a few
 * times, and reports figures. `--seed` repeats the choice of moments.
 */
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { losePower } from "./power-loss.ts";

const { values } = parseArgs({
  options: {
    cuts: { type: "string", default: "100" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);

process.env["CTRD_E2E_RUN"] ??= randomBytes(3).toString("hex");
const [cuts, seed] = [Number(values.cuts), Number(values.seed)];
const begin = performance.now();
const report = await losePower({ cuts, seed, progress: say });
say(
  `${report.cuts} losses of power in ${((performance.now() - begin) / 1000).toFixed(0)} s: nothing acknowledged is lost`,
);
say(`recorded: ${report.writes} writes, ${report.flushes} flushes; lost in all cuts: ${report.lost} writes`);
say(`acknowledged facts asked for: ${report.facts}`);
