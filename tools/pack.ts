/**
 * Packing the packages as npm would publish them, at their own version or at another one.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");

/** What is read of a package.json. */
export interface Manifest {
  name: string;
  version: string;
  exports: Record<string, unknown>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/** A packed package. */
export interface Packed {
  readonly manifest: Manifest;
  /** Path of the tarball. */
  readonly tarball: string;
}

/**
 * Packs every package, as it is built, into the directory `target`.
 *
 * @param version packs them as if they had this version, and depended on each other in it
 * @throws Error when a package is not built, or npm refuses
 */
export function packPackages(target: string, version?: string): Packed[] {
  const folders = builtFolders();
  for (const folder of folders) {
    if (!existsSync(join(root, "packages", folder, "dist"))) throw new Error(`${folder} is not built: npm run build`);
  }
  mkdirSync(target, { recursive: true });
  if (version === undefined) return pack(root, folders, target);
  const copy = join(target, "copy");
  copyWithVersion(folders, copy, version);
  try {
    return pack(copy, folders, target);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** Folders of the packages that the build knows. */
function builtFolders(): string[] {
  const { references } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8")) as {
    references: readonly { path: string }[];
  };
  return references.map(({ path }) => basename(path));
}

function pack(workspace: string, folders: readonly string[], target: string): Packed[] {
  const workspaces = folders.map((folder) => `--workspace=packages/${folder}`);
  execFileSync("npm", ["pack", "--loglevel=error", "--pack-destination", target, ...workspaces], {
    cwd: workspace,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return folders.map((folder) => {
    const manifest = readManifest(join(workspace, "packages", folder));
    // npm names the tarball of @scope/name scope-name-<version>.tgz.
    const file = `${manifest.name.replace("@", "").replace("/", "-")}-${manifest.version}.tgz`;
    const tarball = join(target, file);
    if (!existsSync(tarball)) throw new Error(`npm pack made no tarball of ${manifest.name}: ${file} is missing`);
    return { manifest, tarball };
  });
}

function copyWithVersion(folders: readonly string[], copy: string, version: string): void {
  mkdirSync(join(copy, "packages"), { recursive: true });
  writeFileSync(join(copy, "package.json"), JSON.stringify({ private: true, workspaces: ["packages/*"] }));
  const manifests = folders.map((folder) => readManifest(join(root, "packages", folder)));
  const names = new Set(manifests.map((manifest) => manifest.name));
  for (const [index, folder] of folders.entries()) {
    const [from, to] = [join(root, "packages", folder), join(copy, "packages", folder)];
    cpSync(from, to, { recursive: true, filter: (path) => !path.startsWith(join(from, "node_modules")) });
    const manifest = { ...(manifests[index] as Manifest), version };
    for (const field of ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"] as const) {
      const dependencies = manifest[field];
      if (dependencies !== undefined) manifest[field] = withVersion(dependencies, names, version);
    }
    writeFileSync(join(to, "package.json"), JSON.stringify(manifest, undefined, 2));
  }
}

/** The same dependencies with those on `names` at `version`, as exact or as loose as they were. */
function withVersion(
  dependencies: Readonly<Record<string, string>>,
  names: ReadonlySet<string>,
  version: string,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(dependencies).map(([name, range]) => [
      name,
      names.has(name) ? range.replace(/\d+\.\d+\.\d+/, version) : range,
    ]),
  );
}

function readManifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest;
}
