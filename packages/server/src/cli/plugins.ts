import type { Arguments } from "./arguments.ts";

/** Runs `ctrd plugins …`. */
export async function runPlugins(_command: Arguments["command"], _options: Arguments): Promise<void> {}
