/**
 * ctrd beside the real containerd on this machine: both daemons run all the time, and each work is done by one and
 * the other in turn, so that whatever disturbs the machine disturbs both. Prints one line a work and writes
 * results.json.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CloneFlag, setInterfaceUp, unshare } from "@ctrd/sys";
import { startRegistry, tempDir, workspaceRoot } from "@ctrd/testkit/fixtures";
import { readOptions, type BenchOptions } from "./options.ts";
import { openSide, type Side } from "./side.ts";
import { line, median, type BenchContext, type Work, type WorkResult } from "./work.ts";
import { works } from "./works.ts";

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const wanted = works.filter((work) => options.only.length === 0 || options.only.includes(work.name));
  const unknown = options.only.filter((name) => !works.some((work) => work.name === name));
  if (unknown.length > 0)
    throw new Error(`no work named ${unknown.join(", ")}: ${works.map((work) => work.name).join(", ")}`);
  // Daemons, registries and the networks of pods are in a network namespace that ends with this process.
  unshare(CloneFlag.NewNet);
  setInterfaceUp("lo");
  const cache = join(workspaceRoot, "node_modules/.cache/ctrd-bench");
  await mkdir(cache, { recursive: true });
  await using dir = await tempDir("bench-");
  await using registry = await startRegistry({ dir: join(cache, "registry") });
  await using scratch = await startRegistry({ dir: join(dir.path, "registry") });
  const sides: Side[] = [];
  try {
    for (const name of ["ours", "theirs"] as const) sides.push(await openSide(name, dir, options));
    print(
      `ours: ${options.self ? options.peer : `ctrd (${options.from})`}, theirs: ${options.peer}, median of ${options.runs}`,
    );
    print("name             ratio     ours   theirs unit  (wanted)");
    const results: WorkResult[] = [];
    for (const work of wanted) {
      const result = await measure(work, sides, { registry, scratch, cache }, options);
      results.push(result);
      print(line(result));
    }
    await writeFile(join(import.meta.dirname, "results.json"), `${JSON.stringify({ ...options, results }, null, 2)}\n`);
  } finally {
    for (const side of sides) await side.close();
  }
}

async function measure(
  work: Work,
  sides: readonly Side[],
  context: BenchContext,
  options: BenchOptions,
): Promise<WorkResult> {
  const samples = { ours: [] as number[], theirs: [] as number[] };
  for (const side of sides) await work.prepare?.(side, context);
  // The first run warms caches and compilers and is not counted.
  const rounds = work.once === true ? [true] : [false, ...Array.from({ length: options.runs }, () => true)];
  for (const [round, counted] of rounds.entries()) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const value = await work.run(side, context);
      if (counted) samples[side.name].push(value);
    }
  }
  const [ours, theirs] = [median(samples.ours), median(samples.theirs)];
  return { name: work.name, unit: work.unit, target: work.target, ratio: ours / theirs, ours, theirs, samples };
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

await main();
