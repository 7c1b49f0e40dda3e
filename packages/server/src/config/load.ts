import { glob, readFile, realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { text as readStream } from "node:stream/consumers";
import { ContainerdError, errnoOf, failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { ConfigDocument, ConfigProblem } from "./document.ts";
import { formatProblem } from "./document.ts";
import { defaultPaths } from "./daemon-table.ts";
import type { Table } from "./key-path.ts";
import { latestVersion, migrate } from "./migrate.ts";
import type { Migrated } from "./migration.ts";

/** The documents that make up a configuration, earliest first. */
export interface LoadedDocuments {
  readonly documents: readonly ConfigDocument[];
  /** What of them has no place in the newest layout. */
  readonly warnings: readonly ConfigProblem[];
}

/** What stands for standard input in place of a file. */
export const standardInput = "-";
const standardInputName = "<stdin>";

interface Wanted {
  readonly file: string;
  /** The file that imports it. */
  readonly from: string | undefined;
}

/**
 * Reads a configuration file and what it imports: breadth-first, every file once.
 *
 * @param path the file, or `-` for standard input; undefined: the default one, which may be missing
 * @param onProblem gets the error of a file that cannot be used, and reading goes on with the others; by default it is
 * thrown
 * @throws ContainerdError `failed-precondition` when a file cannot be read, `invalid-argument` when it is not TOML,
 * its version is not supported, or its imports are malformed; the message begins with `file:line:column`
 */
export async function loadDocuments(
  path: string | undefined,
  onProblem: (error: ContainerdError) => void = rethrow,
): Promise<LoadedDocuments> {
  const loader = new Loader(onProblem);
  const first = path === standardInput ? standardInputName : resolve(path ?? defaultPaths.config);
  await loader.load({ file: first, from: undefined }, path === undefined);
  if (loader.documents[0]?.table["imports"] === undefined) {
    for (const file of await expandGlob(defaultPaths.imports)) await loader.add({ file, from: undefined }, false);
  }
  return loader;
}

class Loader implements LoadedDocuments {
  readonly documents: ConfigDocument[] = [];
  readonly warnings: ConfigProblem[] = [];
  readonly #seen: Set<string> = new Set();
  readonly #onProblem: (error: ContainerdError) => void;

  constructor(onProblem: (error: ContainerdError) => void) {
    this.#onProblem = onProblem;
  }

  /** Reads a file and all that it imports. */
  async load(first: Wanted, isOptional: boolean): Promise<void> {
    const queue = [first];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { file } = next;
      const imports = await this.add(next, isOptional && file === first.file);
      queue.push(...imports.map((imported) => ({ file: imported, from: file })));
    }
  }

  /** Reads one file, unless it was read. @returns the files that it imports */
  async add(wanted: Wanted, isOptional: boolean): Promise<string[]> {
    try {
      const text = await readText(wanted, isOptional);
      if (text === undefined) return [];
      const identity = wanted.file === standardInputName ? wanted.file : await realpath(wanted.file);
      if (this.#seen.has(identity)) return [];
      this.#seen.add(identity);
      const { document, warnings } = await parseDocument(wanted.file, text);
      this.documents.push(document);
      this.warnings.push(...warnings);
      return await importsOf(document);
    } catch (error) {
      if (!(error instanceof ContainerdError)) throw error;
      this.#onProblem(error);
      return [];
    }
  }
}

/** Makes a document of a table given in code, in the newest layout. */
export function documentOf(table: Table, name: string): ConfigDocument {
  return { name, text: undefined, table, origins: new Map() };
}

function rethrow(error: ContainerdError): never {
  throw error;
}

async function readText({ file, from }: Wanted, isOptional: boolean): Promise<string | undefined> {
  if (file === standardInputName) return readStream(process.stdin);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (isOptional && errnoOf(error) === "ENOENT") return undefined;
    const by = from === undefined ? "" : `, imported by ${from}`;
    throw failedPrecondition(`read configuration ${file}${by}: ${errnoOf(error) ?? String(error)}`, { cause: error });
  }
}

/** A file as it is written, before it is brought to the newest layout. */
export interface ParsedFile {
  readonly text: string;
  readonly table: Table;
  readonly version: number;
}

/**
 * Reads one file, or standard input.
 *
 * @param path the file, or `-` for standard input
 * @throws ContainerdError as {@link loadDocuments}
 */
export async function readConfigFile(path: string): Promise<ParsedFile> {
  const file = path === standardInput ? standardInputName : resolve(path);
  return parseFile(file, (await readText({ file, from: undefined }, false)) ?? "");
}

async function parseFile(file: string, source: string): Promise<ParsedFile> {
  // Editors of another system may put a byte order mark there.
  const text = source.replace(/^\uFEFF/, "");
  const { parse, TomlError } = await import("smol-toml");
  let table: Table;
  try {
    table = parse(text, { unsafeKeyBehaviour: "throw", maxDepth: 100 });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { describeSyntaxError } = await import("./syntax-error.ts");
    const message = describeSyntaxError(text, error);
    throw invalidArgument(`${file}:${error.line}:${error.column}: ${message}`, { cause: error });
  }
  return { text, table, version: await checkVersion({ name: file, text, table, origins: new Map() }) };
}

/** Parses and migrates one file. */
export async function parseDocument(
  file: string,
  source: string,
): Promise<{ document: ConfigDocument; warnings: readonly ConfigProblem[] }> {
  const { text, table, version } = await parseFile(file, source);
  const migrated: Migrated = migrate(table, version);
  const document: ConfigDocument = { name: file, text, table: migrated.table, origins: migrated.origins };
  // What was dropped is no longer in the newest layout: its position is that of the text.
  const original: ConfigDocument = { ...document, origins: new Map() };
  const loud = migrated.dropped.filter(({ isQuiet }) => !isQuiet);
  const warnings = loud.map(({ path, reason }) => ({ document: original, path, message: `has no effect: ${reason}` }));
  return { document, warnings };
}

async function checkVersion(document: ConfigDocument): Promise<number> {
  const version = document.table["version"] ?? 0;
  if (typeof version === "number" && Number.isInteger(version) && version >= 0 && version <= latestVersion) {
    return version;
  }
  // Tables and lists have no text of their own.
  const given = typeof version === "object" || typeof version === "string" ? JSON.stringify(version) : String(version);
  const message = `version ${given} is not supported, use 2 to ${latestVersion}`;
  throw invalidArgument(await formatProblem({ document, path: ["version"], message }));
}

async function importsOf(document: ConfigDocument): Promise<string[]> {
  const imports = document.table["imports"] ?? [];
  const files: string[] = [];
  if (!Array.isArray(imports)) return files;
  for (const [index, entry] of imports.entries()) {
    if (typeof entry !== "string" || entry === "") {
      const message = "expected the path of a file";
      throw invalidArgument(await formatProblem({ document, path: ["imports", index], message }));
    }
    const base = document.name === standardInputName ? process.cwd() : dirname(document.name);
    const path = resolve(base, entry);
    files.push(...(entry.includes("*") ? await expandGlob(path) : [path]));
  }
  return files;
}

async function expandGlob(pattern: string): Promise<string[]> {
  // Only `*` is special in containerd's patterns.
  const escaped = pattern.replaceAll(/[?[\]{}()!+@\\]/g, "\\$&");
  const files: string[] = [];
  for await (const file of glob(escaped)) files.push(file);
  return files.sort();
}
