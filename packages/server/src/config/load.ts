import { glob, readFile, realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { errnoOf, failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { ConfigDocument } from "./document.ts";
import { formatProblem } from "./document.ts";
import { defaultPaths } from "./daemon-table.ts";
import type { Table } from "./key-path.ts";
import { latestVersion, migrate } from "./migrate.ts";
import type { DroppedValue } from "./migrate.ts";

/** The documents that make up a configuration, earliest first. */
export interface LoadedDocuments {
  readonly documents: readonly ConfigDocument[];
  readonly warnings: readonly string[];
}

/**
 * Reads a configuration file and what it imports: breadth-first, every file once.
 *
 * @param path the file; undefined: the default one, which may be missing
 * @param text the text of the file, when it is not to be read, such as standard input's
 * @throws ContainerdError `failed-precondition` when a file cannot be read, `invalid-argument` when it is not TOML,
 * its version is not supported, or its imports are malformed; the message begins with `file:line:column`
 */
export async function loadDocuments(path: string | undefined, text?: string): Promise<LoadedDocuments> {
  const documents: ConfigDocument[] = [];
  const warnings: string[] = [];
  const seen = new Set<string>();
  const first = resolve(path ?? defaultPaths.config);
  const queue: { file: string; from: string | undefined }[] = [{ file: first, from: undefined }];
  let importsDefault = true;
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const optional = next.file === first && path === undefined;
    const given = next.file === first && text !== undefined;
    const file = given
      ? await parseDocument(path ?? next.file, text)
      : await readDocument(next.file, next.from, optional);
    if (file === undefined) continue;
    const identity = given ? next.file : await realpath(next.file);
    if (seen.has(identity)) continue;
    seen.add(identity);
    documents.push(file.document);
    warnings.push(...file.warnings);
    if (file.document.table["imports"] !== undefined && next.file === first) importsDefault = false;
    for (const imported of await importsOf(file.document)) queue.push({ file: imported, from: next.file });
  }
  if (importsDefault) {
    const more = await loadDefaultImports(seen);
    documents.push(...more.documents);
    warnings.push(...more.warnings);
  }
  return { documents, warnings };
}

/** Makes a document of a table given in code, in the newest layout. */
export function documentOf(table: Table, name: string): ConfigDocument {
  return { name, text: undefined, table, origins: new Map() };
}

async function loadDefaultImports(seen: Set<string>): Promise<LoadedDocuments> {
  const documents: ConfigDocument[] = [];
  const warnings: string[] = [];
  for (const file of await expandGlob(defaultPaths.imports)) {
    const read = await readDocument(file, undefined, false);
    if (read === undefined || seen.has(await realpath(file))) continue;
    documents.push(read.document);
    warnings.push(...read.warnings);
  }
  return { documents, warnings };
}

async function readDocument(
  file: string,
  from: string | undefined,
  optional: boolean,
): Promise<ParsedDocument | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (optional && errnoOf(error) === "ENOENT") return undefined;
    const by = from === undefined ? "" : `, imported by ${from}`;
    throw failedPrecondition(`read configuration ${file}${by}: ${errnoOf(error) ?? String(error)}`, { cause: error });
  }
  return parseDocument(file, text);
}

/** One file, brought to the newest layout. */
export interface ParsedDocument {
  readonly document: ConfigDocument;
  /** Its own layout. */
  readonly version: number;
  readonly dropped: readonly DroppedValue[];
  readonly warnings: readonly string[];
}

/** Parses and migrates one file. */
export async function parseDocument(file: string, text: string): Promise<ParsedDocument> {
  const { parse, TomlError } = await import("smol-toml");
  let table: Table;
  try {
    table = parse(text, { unsafeKeyBehaviour: "throw", maxDepth: 100 });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [line] = error.message.split("\n");
    const message = (line ?? "").replace(/^Invalid TOML document: /, "");
    throw invalidArgument(`${file}:${error.line}:${error.column}: not TOML: ${message}`, { cause: error });
  }
  const original: ConfigDocument = { name: file, text, table, origins: new Map() };
  const version = await checkVersion(original);
  const { warnings, dropped, table: migrated, origins } = migrate(table, version);
  return {
    document: { name: file, text, table: migrated, origins },
    version: version === 0 ? 1 : version,
    dropped,
    warnings: warnings.map((warning) => `${file}: ${warning}`),
  };
}

async function checkVersion(document: ConfigDocument): Promise<number> {
  const version = document.table["version"] ?? 0;
  if (typeof version !== "number" || !Number.isInteger(version) || version < 0 || version > latestVersion) {
    const message = `version ${String(version)} is not supported, use 2 to ${latestVersion}`;
    throw invalidArgument(await formatProblem({ document, path: ["version"], message }));
  }
  return version;
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
    const path = resolve(dirname(document.name), entry);
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
