/**
 * Checks that every package can be published: packs each, lints the tarball (publint, are-the-types-wrong), installs
 * all of them into an empty project, and imports every entry point with plain Node.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const root = resolve(import.meta.dirname, "..");
const node = join(root, "node_modules/.bin/node");

interface Manifest {
  name: string;
  exports: Record<string, unknown>;
  peerDependencies?: Record<string, string>;
}

/** Types of problems that only CommonJS or pre-`exports` consumers meet: ctrd is ESM only. */
const esmOnly = new Set(["CJSResolvesToESM", "NoResolution"]);

async function lintTarball(packageDir: string, manifest: Manifest, tarball: Uint8Array): Promise<string[]> {
  const data = tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.byteLength) as ArrayBuffer;
  const { messages, pkg } = await publint({ pkgDir: packageDir, pack: { tarball: data }, level: "warning" });
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
      .filter((entry) => manifest.name !== "@ctrd/testkit" || entry === "./fixtures")
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
    return String((error as { stderr?: Buffer }).stderr ?? error).trim().split("\n");
  }
}

async function main(): Promise<string[]> {
  const work = mkdtempSync(join(tmpdir(), "ctrd-pack-"));
  try {
    const folders = readdirSync(join(root, "packages"));
    const manifests = folders.map((folder): Manifest => JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8")));
    execFileSync("npm", ["pack", "--workspaces", "--loglevel=error", "--pack-destination", work, ...folders.map((folder) => `-wpackages/${folder}`)], {
      cwd: root,
      stdio: ["ignore", "ignore", "inherit"],
    });
    const tarballs = readdirSync(work).filter((name) => name.endsWith(".tgz"));
    const problems: string[] = [];
    for (const [index, folder] of folders.entries()) {
      const manifest = manifests[index] as Manifest;
      const tarball = tarballs.find((name) => name.startsWith(`${manifest.name.slice(1).replace("/", "-")}-0`));
      if (tarball === undefined) {
        problems.push(`${manifest.name}: npm pack made no tarball`);
        continue;
      }
      const found = await lintTarball(join(root, "packages", folder), manifest, readFileSync(join(work, tarball)));
      problems.push(...found.map((problem) => `${manifest.name}: ${problem}`));
    }
    const project = mkdtempSync(join(work, "project-"));
    writeFileSync(
      join(project, "package.json"),
      JSON.stringify({ name: "stranger", private: true, type: "module", dependencies: Object.fromEntries(manifests.map((m, i) => [m.name, `file:../${tarballs.find((t) => t.startsWith(`${m.name.slice(1).replace("/", "-")}-0`)) ?? i}`])) }),
    );
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"], { cwd: project, stdio: ["ignore", "ignore", "inherit"] });
    return [...problems, ...importAll(project, manifests)];
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const problems = await main();
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? "packages: ok" : `packages: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
