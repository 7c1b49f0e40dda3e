import { chmod, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isSea } from "node:sea";
import { errnoOf } from "@ctrd/core/errors";
import { serverDirectory } from "./app/core-copies.ts";

/**
 * Writes an executable `<root>/ctrd` that runs this very program with this very Node. Shims get its path as
 * `-publish-binary` and cannot be given a script with an interpreter of its own choice.
 *
 * @returns its path
 */
export async function writeSelfCommand(root: string): Promise<string> {
  const path = join(root, "ctrd");
  const command = [process.execPath, ...programOfNode()].map(shellQuote).join(" ");
  const script = `#!/bin/sh\nexec ${command} "$@"\n`;
  if ((await readIfThere(path)) === script) return path;
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, script, { mode: 0o700 });
  await chmod(temporary, 0o700);
  await rename(temporary, path);
  return path;
}

/** What this Node was started with; a single executable is its own program. */
function programOfNode(): string[] {
  if (isSea()) return [];
  const main = join(serverDirectory, import.meta.url.endsWith(".ts") ? "src/main.ts" : "dist/main.js");
  return [...process.execArgv.filter((flag) => flag.startsWith("--conditions=")), main];
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
