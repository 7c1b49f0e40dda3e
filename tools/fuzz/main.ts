/**
 * `npm run fuzz -- [--seconds N] [--only TARGET] [--seed N] [--input FILE]`
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { parseArgs } from "node:util";
import { keep, repeatCommand } from "./corpus.ts";
import { allowLoopbackOnly } from "./loopback-only.ts";
import { runInput, runTarget } from "./run-target.ts";
import type { Outcome } from "./run-target.ts";
import type { Target } from "./target.ts";
import { targets } from "./targets/index.ts";
import { Watchdog } from "./watchdog.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    only: { type: "string", multiple: true, default: [] },
    seed: { type: "string" },
    input: { type: "string" },
  },
});

process.exitCode = await main();

async function main(): Promise<number> {
  const unknown = values.only.filter((name) => !targets.some((target) => target.name === name));
  if (unknown.length > 0) {
    console.error(`no target ${unknown.join(", ")}; there are ${targets.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
  const chosen = targets.filter(({ name }) => values.only.length === 0 || values.only.includes(name));
  allowLoopbackOnly();
  setPriority(19);
  let faults = 0;
  const watchdog = values.input === undefined ? new Watchdog() : undefined;
  for (const target of chosen) {
    const start = Date.now();
    const outcome =
      values.input === undefined
        ? await runTarget(target, { seed, duration: Number(values.seconds) * 1000, ...(watchdog && { watchdog }) })
        : await runInput(target, readFileSync(values.input));
    report(target, outcome, Date.now() - start, seed);
    faults += outcome.faults.length;
  }
  await watchdog?.close();
  return faults === 0 ? 0 : 1;
}

function report(target: Target, { executions, accepted, faults }: Outcome, took: number, seed: number): void {
  const rate = Math.round((executions * 1000) / Math.max(1, took));
  const memory = process.memoryUsage.rss() >> 20;
  console.log(
    `${target.name}: ${executions} executions (${rate}/s), ${accepted} accepted, ${faults.length} faults; seed ${seed}, ${memory} MiB`,
  );
  for (const { input, error } of faults) {
    const file = values.input ?? keep(target.name, input);
    console.log(`  ${error.stack ?? error.message}${causeOf(error)}\n  repeat: ${repeatCommand(target.name, file)}`);
  }
}

function causeOf({ cause }: Error): string {
  return cause instanceof Error ? `\n  caused by ${cause.stack ?? cause.message}` : "";
}
