#!/usr/bin/env node
/**
 * The `ctrd` command with all of its commands. This module imports nothing but Node's own, so that a Node that is too
 * old is told so, and everything else comes through the compile cache.
 *
 * @module
 */
import nodeModule from "node:module";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 15)) {
  process.stderr.write(`ctrd: needs Node 22.15 or newer, and this is ${process.version} (${process.execPath})\n`);
  process.exit(1);
}
// Not Node's default directory: that is in /tmp, where others could plant code for root to run.
nodeModule.enableCompileCache(process.env["NODE_COMPILE_CACHE"] ?? "/var/cache/ctrd");
const { runCommandLine } = await import("./command-line.ts");
await runCommandLine(process.argv.slice(2));
