/**
 * Streams that are no pipes to us: nothing, files, and logging programs.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import type { IoCreator } from "./process-io.ts";
import { unpipedIo } from "./process-io.ts";
import { pathToFileURL } from "node:url";

/** No streams at all. */
export const nullIo: IoCreator = async () => unpipedIo({ stdin: "", stdout: "", stderr: "", terminal: false });

/** The shim appends stdout and stderr to a file. Not with a terminal. */
export function logFile(path: string): IoCreator {
  checkPath("log file", path);
  return logUri(`file://${pathToFileURL(path).pathname}`);
}

/**
 * The shim starts a logging program that gets stdout as descriptor 3 and stderr as 4.
 *
 * @param args keys and values, its arguments in this order; some shims do not keep the order
 */
export function logProgram(
  path: string,
  args: Readonly<Record<string, string>> = {},
  options: { terminal?: boolean } = {},
): IoCreator {
  checkPath("logging program", path);
  const query = new URLSearchParams(args).toString();
  return logUri(`binary://${pathToFileURL(path).pathname}${query === "" ? "" : `?${query}`}`, options);
}

/** Whatever URI the shim understands, for stdout and stderr both. */
export function logUri(uri: string, options: { terminal?: boolean } = {}): IoCreator {
  if (!/^[a-z][a-z0-9+.-]*:\/\//.test(uri)) throw invalidArgument(`log URI "${uri}" must begin with <scheme>://`);
  const { terminal = false } = options;
  return async () => unpipedIo({ stdin: "", stdout: uri, stderr: terminal ? "" : uri, terminal });
}

function checkPath(what: string, path: string): void {
  if (!path.startsWith("/")) throw invalidArgument(`${what} "${path}" must be an absolute path`);
}
