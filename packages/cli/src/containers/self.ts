/** This program as others start it: the logging program, when a container has ended. */
import { fileURLToPath } from "node:url";

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";

/** Path of a module of this package that is a program. */
export function programPath(name: "main" | "log-driver"): string {
  return fileURLToPath(new URL(`../${name}${extension}`, import.meta.url));
}

/** The command that runs `ctrd` with arguments. */
export function selfCommand(...args: readonly string[]): string[] {
  const flags = process.execArgv.filter((flag) => flag.startsWith("--conditions="));
  return [process.execPath, ...flags, programPath("main"), ...args];
}
