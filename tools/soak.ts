/**
 * `npm run soak -- --minutes 120`: runs, execs and deletes containers and pulls images all the time, and says what the
 * daemon holds after each quarter of the time. Exits with 1 when its memory has grown by more than `--growth` percent
 * from the second quarter to the last, or its handles at all. `--pause` is the rest between two containers in milliseconds.
 */
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { openHarness } from "../e2e/support/harness.ts";
import { soak } from "../e2e/support/soak.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "120" },
    pause: { type: "string", default: "0" },
    growth: { type: "string", default: "10" },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);

process.env["CTRD_E2E_RUN"] ??= randomBytes(3).toString("hex");
const harness = await openHarness("soak");
try {
  const plan = { seconds: Number(values.minutes) * 60, pauseMs: Number(values.pause), progress: say };
  const { warm, end } = await soak(harness, plan);
  const growth = (100 * (end.memoryKib - warm.memoryKib)) / warm.memoryKib;
  say(
    `memory ${growth.toFixed(1)} %, handles ${warm.handles} to ${end.handles}, threads ${warm.threads} to ${end.threads}`,
  );
  if (growth > Number(values.growth) || end.handles > warm.handles) {
    say("FAILED: the daemon holds more than when it was warm");
    process.exitCode = 1;
  }
} finally {
  await harness.close();
}
