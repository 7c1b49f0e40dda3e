/**
 * Writing a plugin package from a template. Templates are real files: `templates/common` and, over it,
 * `templates/<kind>`; only the marks below are replaced in them.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Kind } from "./kinds.ts";
import type { PluginNames } from "./names.ts";

/** Files with another name among the templates: npm leaves out the one, and takes the other for its own. */
const realNames: ReadonlyMap<string, string> = new Map([
  ["gitignore", ".gitignore"],
  ["package.template.json", "package.json"],
]);

const packageRoot = fileURLToPath(new URL("..", import.meta.url));

/**
 * Writes the package.
 *
 * @param target a folder that is empty or not there
 * @returns paths of the written files, relative to `target`, sorted
 * @throws Error when `target` has something in it
 */
export function scaffold(target: string, kind: Kind, names: PluginNames): string[] {
  const present = entriesOf(target).filter((name) => name !== ".git");
  if (present.length > 0) {
    throw new Error(`${target} is not empty (it has ${present[0]}): give another folder, or empty it`);
  }
  const marks = marksOf(names, ownVersion());
  const files = new Map([...templateFiles("common"), ...templateFiles(kind)]);
  for (const [path, source] of files) {
    const file = join(target, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, replaceMarks(readFileSync(source, "utf8"), marks));
  }
  return [...files.keys()].toSorted();
}

/** Any 0.x: a minor version of the daemon keeps what plugins of its api number use. */
function rangeOf(version: string): string {
  return `>=${version} <1`;
}

function marksOf({ name, id }: PluginNames, version: string): ReadonlyMap<string, string> {
  const identifier = id.replaceAll(/[^a-z0-9]/g, "_").replace(/^(?=\d)/, "p");
  return new Map([
    ["__name__", name],
    ["__id__", id],
    ["__proto_package__", identifier],
    ["__version__", version],
    ["__range__", rangeOf(version)],
  ]);
}

function replaceMarks(text: string, marks: ReadonlyMap<string, string>): string {
  return text.replaceAll(/__[a-z_]+?__/g, (mark) => marks.get(mark) ?? mark);
}

/** The version of this package; all packages of ctrd are released with the same one. */
function ownVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string }).version;
}

/** Files of a template: path in the package → source. */
function templateFiles(template: string): [string, string][] {
  const root = join(packageRoot, "templates", template);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const source = join(entry.parentPath, entry.name);
      const path = source.slice(root.length + 1);
      return [realNames.get(path) ?? path, source];
    });
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
