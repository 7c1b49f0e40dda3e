/**
 * Finding, in the text of a module, the files that it reaches by its own location rather than by an import: worker
 * threads, data files, native modules.
 *
 * @module
 */

/** What a module reaches by its location. */
export interface References {
  /** Paths relative to the module's directory that may be files. */
  readonly paths: readonly string[];
  /** Packages and files that it requires with a `require` of its own making. */
  readonly required: readonly string[];
}

const location = /\bimport\.meta\b|\b__dirname\b|\b__filename\b/;

/** Imports are the bundler's business. */
const imported = /\bfrom\s*"[^"]*"|\bimport\s*\(?\s*"[^"]*"|\brequire\s*\(\s*"[^"]*"\s*\)/g;

/** Whether a module knows where it is. */
export function usesLocation(source: string): boolean {
  return location.test(source);
}

/**
 * @param source text of a module whose strings are in double quotes, as esbuild prints them
 */
export function referencesOf(source: string): References {
  const required = requiredBy(source);
  const rest = source.replaceAll(imported, "");
  const relative = matches(rest, /"(\.{1,2}\/[^"\n]*)"/g);
  const urls = matches(rest, /\bnew URL\(\s*"([^":\n]+)"/g);
  const joined = matches(
    rest,
    /\b(?:join|resolve)\d*\(\s*(?:__dirname|import\.meta\.dirname)((?:\s*,\s*"[^"]*")+)\s*\)/g,
  ).map((parts) => matches(parts, /"([^"]*)"/g).join("/"));
  return { paths: [...new Set([...relative, ...urls, ...joined])], required: [...new Set(required)] };
}

function requiredBy(source: string): string[] {
  if (!source.includes("createRequire")) return [];
  const direct = matches(source, /\bcreateRequire\d*\([^()]*\)\(\s*"([^"]+)"/g);
  const names = matches(source, /(?<![\w$.])([\w$]+)\s*=\s*(?:[\w$]+\.)?createRequire\d*\(/g);
  const calls = names.flatMap((name) =>
    matches(
      source,
      new RegExp(`(?<![\\w$.])${name.replaceAll("$", String.raw`\$`)}(?:\\.resolve)?\\(\\s*"([^"]+)"`, "g"),
    ),
  );
  return [...direct, ...calls];
}

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? "");
}
