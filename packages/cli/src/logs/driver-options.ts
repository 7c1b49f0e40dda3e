/**
 * What the logging program is told, in a file: of a `binary://` URI's arguments shims keep no order.
 *
 * @module
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RotationOptions } from "./log-writer.ts";

/** Options of the logging program. */
export interface DriverOptions {
  readonly rotation: RotationOptions;
  /** FIFOs to read in place of descriptors 3 and 4. */
  readonly fifos?: { readonly stdout: string; readonly stderr: string };
  /** Program with arguments and environment that is run when the container has ended. */
  readonly after?: { readonly command: readonly string[]; readonly env: Readonly<Record<string, string>> };
}

const fileName = "driver.json";
const pidFileName = "pid";

/** Writes the options into the directory of a container. */
export function writeDriverOptions(directory: string, options: DriverOptions): void {
  clearPid(directory);
  writeFileSync(join(directory, fileName), JSON.stringify(options), { mode: 0o600 });
}

/** Reads the options of the container with this directory. */
export function readDriverOptions(directory: string): DriverOptions {
  return JSON.parse(readFileSync(join(directory, fileName), "utf8")) as DriverOptions;
}

/**
 * Tells which process to watch: shims keep the streams open when it has ended, until its task is deleted. It is known
 * only after the logging program was started.
 */
export function writePid(directory: string, pid: number): void {
  writeFileSync(join(directory, pidFileName), String(pid), { mode: 0o600 });
}

/** Forgets the process of an earlier run. */
export function clearPid(directory: string): void {
  rmSync(join(directory, pidFileName), { force: true });
}

/** The process that the shim which started us runs, when it is runc's: it works in the bundle, where runc notes it. */
export function readBundlePid(): number | undefined {
  try {
    return Number(readFileSync(`/proc/${process.ppid}/cwd/init.pid`, "utf8")) || undefined;
  } catch {
    // Not yet, or another kind of shim: then the end of the streams tells.
    return undefined;
  }
}

/** The process to watch; undefined as long as that is not known. */
export function readPid(directory: string): number | undefined {
  try {
    return Number(readFileSync(join(directory, pidFileName), "utf8")) || undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
