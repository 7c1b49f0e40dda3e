/**
 * What tests of networks need: a network namespace around them, and the plugins.
 *
 * @internal
 */
import { execFileSync } from "node:child_process";
import { CloneFlag, setInterfaceUp, unshare } from "@ctrd/sys";

/** Where Debian has the plugins. */
export const pluginDirectory = "/usr/lib/cni";

/**
 * Moves this thread into a network namespace of its own. What it starts from here on, programs and threads, is in there
 * too; it ends with the process, and with it every bridge and rule.
 */
export function enterOwnNetwork(): void {
  unshare(CloneFlag.NewNet);
  setInterfaceUp("lo");
}

/** Runs a program of the host in the namespace of this thread, or of `netns`. @returns its output */
export function command(line: string, netns?: string): string {
  const words = line.split(" ");
  const all = netns === undefined ? words : ["nsenter", `--net=${netns}`, ...words];
  const [program = "", ...args] = all;
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Runs a line of the shell in the namespace of this thread. @returns its output */
export function shell(line: string): string {
  return execFileSync("sh", ["-c", line], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
