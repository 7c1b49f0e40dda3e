/**
 * What the logging program is told, in a file: of a `binary://` URI's arguments shims keep no order.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RotationOptions } from "./log-writer.ts";

/** Options of the logging program. */
export interface DriverOptions {
  readonly rotation: RotationOptions;
  /** FIFO that is kept open, so that the stdin of the container does not end with the first client. */
  readonly stdin?: string;
  /** FIFOs to read in place of descriptors 3 and 4. */
  readonly fifos?: { readonly stdout: string; readonly stderr: string };
  /** Program with arguments that is run when all output has ended. */
  readonly after?: readonly string[];
}

const fileName = "driver.json";

/** Writes the options into the directory of a container. */
export function writeDriverOptions(directory: string, options: DriverOptions): void {
  writeFileSync(join(directory, fileName), JSON.stringify(options), { mode: 0o600 });
}

/** Reads the options of the container with this directory. */
export function readDriverOptions(directory: string): DriverOptions {
  return JSON.parse(readFileSync(join(directory, fileName), "utf8")) as DriverOptions;
}
