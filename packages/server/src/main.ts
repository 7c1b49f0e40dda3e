#!/usr/bin/env node
/**
 * The `ctrd` command. This module imports nothing but the compile cache, so that everything else comes through it.
 *
 * @module
 */
import { enableCompileCache } from "node:module";

// Not Node's default directory: that is in /tmp, where others could plant code for root to run.
enableCompileCache(process.env["NODE_COMPILE_CACHE"] ?? "/var/cache/ctrd");
const { runCommandLine } = await import("./cli/run.ts");
await runCommandLine(process.argv.slice(2));
