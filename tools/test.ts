/**
 * `npm test`: every check and every test, in order of cost. Prints one line a step, the names of what failed or was
 * skipped, and last `N passed, N failed`. `--only unit,e2e` runs some steps. In CI a skipped test fails the run.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const root = resolve(import.meta.dirname, "..");
const bin = join(root, "node_modules/.bin");
const inCi = process.env["CI"] === "true";
const work = mkdtempSync(join(tmpdir(), "ctrd-test-"));

interface Outcome {
  passed: number;
  failed: number;
  skipped: string[];
  failures: string[];
}

function run(command: string, args: readonly string[]): boolean {
  const path = `${bin}:${process.env["PATH"] ?? ""}`;
  const env = { ...process.env, PATH: path, NX_DAEMON: "false", CTRD_TEST_FROM: "dist", NO_COLOR: "1" };
  return spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], env }).status === 0;
}

/** A step that is one check: it passes or fails as a whole. */
function check(name: string, command: string, ...args: string[]): Outcome {
  const ok = run(command, args);
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: [], failures: ok ? [] : [name] };
}

interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string }[];
  }[];
}

/** A step that is a vitest run. A file that cannot be loaded counts as one failure. */
function vitest(name: string, ...args: string[]): Outcome {
  const output = join(work, `${name}.json`);
  const reporters = ["--reporter=dot", "--reporter=json", `--outputFile.json=${output}`];
  const ok = run(join(bin, "vitest"), ["run", ...args, ...reporters]);
  let report: VitestReport;
  try {
    report = JSON.parse(readFileSync(output, "utf8"));
  } catch {
    return { passed: 0, failed: 1, skipped: [], failures: [`${name}: vitest wrote no report`] };
  }
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  const broken = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
  const failures = tests.filter((test) => test.status === "failed").map((test) => test.fullName);
  failures.push(...broken.map((file) => `${file.name}: ${file.message}`));
  if (!ok && failures.length === 0) failures.push(`${name}: vitest failed outside of tests (see above)`);
  const skipped = tests
    .filter((test) => ["skipped", "pending", "todo"].includes(test.status))
    .map((test) => test.fullName);
  return { passed: report.numPassedTests, failed: failures.length, skipped, failures };
}

const node = join(bin, "node");
const steps: Record<string, () => Outcome> = {
  lint: () => check("lint", "oxlint"),
  format: () => check("format", "oxfmt", "--check", "."),
  types: () => check("types", "tsc", "-p", "tsconfig.tests.json"),
  examples: () => check("examples", "tsc", "-p", "examples"),
  layers: () => check("layers", node, "tools/check-layers.ts"),
  knip: () => check("knip", "knip", "--no-config-hints"),
  packages: () => check("packages", node, "tools/check-packages.ts"),
  unit: () => vitest("unit"),
  e2e: () => vitest("e2e", "--config", "e2e/vitest.config.ts"),
};

const { values } = parseArgs({ options: { only: { type: "string" } } });
const wanted = values.only?.split(",") ?? Object.keys(steps);
const total: Outcome = { passed: 0, failed: 0, skipped: [], failures: [] };
try {
  for (const name of wanted) {
    const step = steps[name];
    if (step === undefined) throw new Error(`unknown step "${name}"; there are: ${Object.keys(steps).join(", ")}`);
    const started = Date.now();
    const outcome = step();
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    console.log(
      `== ${name}: ${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped.length} skipped (${seconds} s)`,
    );
    total.passed += outcome.passed;
    total.failed += outcome.failed;
    total.skipped.push(...outcome.skipped);
    total.failures.push(...outcome.failures);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

for (const failure of total.failures) console.log(`FAILED  ${failure}`);
for (const skipped of total.skipped) console.log(`SKIPPED ${skipped}`);
if (inCi && total.skipped.length > 0) {
  console.log(`FAILED  ${total.skipped.length} tests were skipped; in CI none may be`);
  total.failed += total.skipped.length;
}
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
