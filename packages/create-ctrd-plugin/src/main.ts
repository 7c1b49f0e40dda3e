#!/usr/bin/env node
/**
 * `npm create ctrd-plugin`.
 *
 * @module
 */
import { runCommandLine } from "./command-line.ts";

try {
  await runCommandLine(process.argv.slice(2), { cwd: process.cwd(), input: process.stdin, output: process.stdout });
} catch (error) {
  process.stderr.write(`create-ctrd-plugin: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
