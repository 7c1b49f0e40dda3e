/**
 * Fails on an import that the layer table forbids, on an import of another package's insides, and on an import that
 * the package's own package.json does not declare.
 */
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { computedImportsOf, forbiddenImport, importsOf, layerOf, mayComputeImports } from "./layers.ts";

const root = resolve(import.meta.dirname, "..");

interface Manifest {
  name: string;
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

/** @param directory the package, relative to the repository */
function checkFile(directory: string, manifest: Manifest, file: string): string[] {
  const isTest = /\.test\.[jt]s$|\.test-worker\.ts$|\/vitest\.config\.js$/.test(file);
  const packageRoot = join(root, directory);
  // Examples are strangers' packages: they may import what they declare.
  const folder = /^packages\/(.+)/.exec(directory)?.[1];
  const declared = new Set(
    Object.keys({
      ...manifest.dependencies,
      ...manifest.peerDependencies,
      ...manifest.optionalDependencies,
      ...(isTest ? { vitest: "", ...manifest.devDependencies } : {}),
    }),
  );
  const problems: string[] = [];
  const source = readFileSync(file, "utf8");
  const path = relative(root, file);
  if (!isTest && folder !== undefined && !mayComputeImports(folder, path)) {
    problems.push(
      ...computedImportsOf(source).map((line) => `${path}:${line}: import a literal, so that it is checked`),
    );
  }
  for (const { specifier, line } of importsOf(source)) {
    const at = `${path}:${line}: `;
    if (specifier.startsWith(".")) {
      if (relative(packageRoot, resolve(dirname(file), specifier)).startsWith("..")) {
        problems.push(`${at}"${specifier}" leaves the package; import it by its package name`);
      }
      continue;
    }
    if (isBuiltin(specifier)) {
      if (!specifier.startsWith("node:")) problems.push(`${at}write "node:${specifier}"`);
      continue;
    }
    const name = specifier
      .split("/")
      .slice(0, specifier.startsWith("@") ? 2 : 1)
      .join("/");
    if (folder !== undefined && name.startsWith("@ctrd/")) {
      const problem = forbiddenImport(folder, name.slice("@ctrd/".length), isTest);
      if (problem !== undefined) problems.push(at + problem);
    }
    if (name !== manifest.name && !declared.has(name)) {
      problems.push(`${at}"${name}" is not a dependency in ${directory}/package.json`);
    }
  }
  return problems;
}

function checkPackage(folder: string): string[] {
  const manifestPath = join(root, "packages", folder, "package.json");
  if (!existsSync(manifestPath)) return [];
  const manifest: Manifest = JSON.parse(readFileSync(manifestPath, "utf8"));
  const problems: string[] = [];
  if (layerOf(folder) === "plugin" && manifest.peerDependencies?.["@ctrd/core"] === undefined) {
    problems.push(`packages/${folder}/package.json: a plugin has @ctrd/core as a peer dependency`);
  }
  const files = globSync(`packages/${folder}/src/**/*.ts`, { cwd: root }).filter((file) => !file.includes("/src/gen/"));
  return problems.concat(files.flatMap((file) => checkFile(`packages/${folder}`, manifest, join(root, file))));
}

function checkExamples(): string[] {
  const find = (pattern: string): string[] =>
    globSync(pattern, { cwd: root, exclude: (path) => path.endsWith("node_modules") });
  // An example may have packages inside: a file is of the innermost.
  const directories = find("examples/**/package.json").map(dirname);
  return find("examples/**/*.js").flatMap((file) => {
    const [directory = "examples"] = directories
      .filter((directory) => file.startsWith(`${directory}/`))
      .toSorted((a, b) => b.length - a.length);
    const manifest: Manifest = JSON.parse(readFileSync(join(root, directory, "package.json"), "utf8"));
    return checkFile(directory, manifest, join(root, file));
  });
}

const problems = [...readdirSync(join(root, "packages")).flatMap(checkPackage), ...checkExamples()];
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? "layers: ok" : `layers: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
