import { posix } from "node:path";
import { invalidArgument } from "@ctrd/core/errors";

/** @throws ContainerdError `invalid-argument` unless `path` is absolute and has no zero byte */
export function requireAbsolute(what: string, path: string): void {
  if (!posix.isAbsolute(path) || path.includes("\0")) {
    throw invalidArgument(`${what} ${JSON.stringify(path)} is not an absolute path`);
  }
}
