/** This program as others start it: the logging program, when a container has ended. */
import { fileURLToPath } from "node:url";

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";

/** Path of a module of this package that is a program. */
export function programPath(name: "main" | "log-driver" | "network-hook"): string {
  return fileURLToPath(new URL(`../${name}${extension}`, import.meta.url));
}

/** The command that runs `ctrd` with arguments. */
export function selfCommand(...args: readonly string[]): string[] {
  return [process.execPath, ...nodeFlags(), programPath("main"), ...args];
}

/** The command that sets up the network of the container with this directory (`up`), or takes it down. */
export function hookCommand(what: "up" | "down" | "ended", directory: string): string[] {
  return [process.execPath, ...nodeFlags(), programPath("network-hook"), what, directory];
}

function nodeFlags(): string[] {
  return process.execArgv.filter((flag) => flag.startsWith("--conditions="));
}
