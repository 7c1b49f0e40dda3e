/**
 * Checks that every package can be published: packs each, lints the tarball (publint, are-the-types-wrong), installs
 * all of them into an empty project, and imports every entry point with plain Node.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import type { Manifest, Packed } from "./pack.ts";
import { packPackages } from "./pack.ts";

const root = resolve(import.meta.dirname, "..");
const node = join(root, "node_modules/.bin/node");

/** Types of problems that only CommonJS or pre-`exports` consumers meet: ctrd is ESM only. */
const esmOnly = new Set(["CJSResolvesToESM", "NoResolution"]);

async function lintTarball(manifest: Manifest, tarball: Uint8Array): Promise<string[]> {
  const data = tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.byteLength) as ArrayBuffer;
  const { messages, pkg } = await publint({ pack: { tarball: data }, level: "warning" });
  const problems = messages.map((message) => `publint: ${formatMessage(message, pkg) ?? message.code}`);
  // Patterns ("./*") stand for many files; the type check of every one would take minutes and show the same.
  const entrypoints = Object.keys(manifest.exports).filter((entry) => !entry.includes("*") && !entry.endsWith(".json"));
  if (entrypoints.length === 0) return problems;
  const analysis = await checkPackage(createPackageFromTarballData(tarball), { entrypoints });
  if (!analysis.types) return [...problems, "attw: the package has no types"];
  for (const problem of analysis.problems) {
    const kind = "resolutionKind" in problem ? problem.resolutionKind : "";
    if (kind === "node10" || kind === "node16-cjs" || esmOnly.has(problem.kind)) continue;
    problems.push(`attw: ${problem.kind} ${"entrypoint" in problem ? problem.entrypoint : ""} (${kind})`);
  }
  return problems;
}

function importAll(project: string, manifests: readonly Manifest[]): string[] {
  const specifiers = manifests.flatMap((manifest) =>
    Object.keys(manifest.exports)
      .filter((entry) => !entry.includes("*") && !entry.endsWith(".json"))
      // The suites need a test runner around them.
      .filter((entry) => manifest.name !== "@ctrd/testkit" || ["./fixtures", "./daemon"].includes(entry))
      .map((entry) => manifest.name + entry.slice(1)),
  );
  writeFileSync(
    join(project, "import.mjs"),
    `let bad = 0;
for (const specifier of ${JSON.stringify(specifiers)}) {
  try { await import(specifier); } catch (error) { bad++; console.error(specifier + ": " + error.message); }
}
process.exit(bad === 0 ? 0 : 1);\n`,
  );
  try {
    execFileSync(node, ["import.mjs"], { cwd: project, stdio: ["ignore", "inherit", "pipe"] });
    return [];
  } catch (error) {
    return String((error as { stderr?: Buffer }).stderr ?? error)
      .trim()
      .split("\n");
  }
}

/** Installs all tarballs into a project of their own and imports every entry point. */
function installAndImport(packages: readonly Packed[], work: string): string[] {
  const project = mkdtempSync(join(work, "project-"));
  const dependencies = Object.fromEntries(packages.map(({ manifest, tarball }) => [manifest.name, `file:${tarball}`]));
  writeFileSync(
    join(project, "package.json"),
    JSON.stringify({ name: "stranger", private: true, type: "module", dependencies }),
  );
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"], {
    cwd: project,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return importAll(
    project,
    packages.map(({ manifest }) => manifest),
  );
}

async function main(): Promise<string[]> {
  const work = mkdtempSync(join(tmpdir(), "ctrd-pack-"));
  try {
    const packages = packPackages(work);
    const problems: string[] = [];
    for (const { manifest, tarball } of packages) {
      const found = await lintTarball(manifest, readFileSync(tarball));
      problems.push(...found.map((problem) => `${manifest.name}: ${problem}`));
    }
    return [...problems, ...installAndImport(packages, work)];
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const problems = await main();
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? "packages: ok" : `packages: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
