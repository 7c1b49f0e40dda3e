/**
 * The inputs that are kept: `corpus/<target>/`. A file `*.lines` holds an input on each line, any other is one input.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import type { Target } from "./target.ts";

const root = join(import.meta.dirname, "corpus");

/** All inputs of a target: those that are kept, and those that it makes. */
export function corpusOf(target: Target): Buffer[] {
  const inputs = [...(target.seeds?.() ?? [])];
  for (const name of filesOf(target.name)) {
    const bytes = readFileSync(join(root, target.name, name));
    if (!name.endsWith(".lines")) inputs.push(bytes);
    else
      inputs.push(
        ...bytes
          .toString()
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => Buffer.from(line)),
      );
  }
  return inputs.length === 0 ? [Buffer.alloc(0)] : inputs;
}

function filesOf(target: string): string[] {
  try {
    return readdirSync(join(root, target)).toSorted();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Keeps an input that found a fault. @returns the file */
export function keep(target: string, input: Uint8Array): string {
  const file = join(root, target, `fault-${createHash("sha256").update(input).digest("hex").slice(0, 12)}`);
  mkdirSync(join(root, target), { recursive: true });
  writeFileSync(file, input);
  return file;
}

/** The command that gives the input to the target again. */
export function repeatCommand(target: string, file: string): string {
  return `npm run fuzz -- --only ${target} --input ${relative(process.cwd(), file)}`;
}
