/**
 * `npm run kill-anywhere -- --kills 200`: kills a daemon at many moments of its work, as e2e/26-kill-anywhere does a few
 * times, and reports figures. `--seed` repeats a run, `--settle-every` says after how many kills leaks are looked for; the
 * log of the daemon is kept in the file `CTRD_KEEP_LOG`.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { openHarness } from "../e2e/support/harness.ts";
import { killDaemon } from "../e2e/support/kill-bench.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "200" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    "settle-every": { type: "string", default: "4" },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);

process.env["CTRD_E2E_RUN"] ??= randomBytes(3).toString("hex");
const [kills, seed, settleEvery] = [Number(values.kills), Number(values.seed), Number(values["settle-every"])];
say(`seed ${seed}, ${kills} kills`);
const begin = performance.now();
const harness = await openHarness("kill");
try {
  const report = await killDaemon(harness, { seed, kills, settleEvery, progress: say });
  const restarts = report.restartMs.toSorted((a, b) => a - b);
  const interrupted = [...report.interrupted].map(([work, count]) => `${count} x ${work}`);
  say(`${report.kills} kills in ${((performance.now() - begin) / 1000).toFixed(0)} s: nothing lost, nothing leaked`);
  say(`interrupted: ${interrupted.join(", ")}`);
  say(`acknowledged facts asked for: ${report.facts}`);
  say(`restart: median ${restarts[restarts.length >> 1]?.toFixed(0)} ms, longest ${restarts.at(-1)?.toFixed(0)} ms`);
  const inside = [...harness.daemon.logs().matchAll(/"ms":(\d+),"msg":"daemon ready"/g)].map(([, ms]) => Number(ms));
  say(`of which from the start of the plugins until it was ready: longest ${Math.max(...inside)} ms`);
} finally {
  if (process.env["CTRD_KEEP_LOG"] !== undefined) writeFileSync(process.env["CTRD_KEEP_LOG"], harness.daemon.logs());
  await harness.close();
}
