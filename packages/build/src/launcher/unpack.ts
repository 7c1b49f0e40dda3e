import { hash } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, mkdirSync, mkdtempSync, openSync } from "node:fs";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { PackedFile } from "./index-of-files.ts";
import { bundleDirectory } from "./index-of-files.ts";
import { isPrivate, makeSafeDirectory } from "./private-directory.ts";

/** What an executable carries. */
export interface Cargo {
  /** The list of its files, as text: its hash names the directory. */
  readonly index: string;
  /** Content of a file by its path. */
  read(path: string): Uint8Array;
}

/**
 * The directory with the files of an executable: unpacked on the first start, and compared with their hashes on every
 * start.
 *
 * @param directories where it may be, best first
 * @throws Error naming every directory that cannot be used, and why
 */
export function unpack(cargo: Cargo, directories: readonly string[], uid: number): string {
  const problems: string[] = [];
  for (const directory of directories) {
    try {
      return unpackInto(cargo, makeSafeDirectory(directory, uid), uid);
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  const remedy = "set XDG_CACHE_HOME to a directory that only this user can write to";
  throw new Error(`nowhere to unpack this executable (${problems.join("; ")}); ${remedy}`);
}

function unpackInto(cargo: Cargo, parent: string, uid: number): string {
  const files = JSON.parse(cargo.index) as PackedFile[];
  const target = join(parent, `sea-${hash("sha256", cargo.index)}`);
  if (isIntact(target, files, uid)) return target;
  const fresh = mkdtempSync(join(parent, ".sea-"));
  try {
    for (const { path } of files) {
      const file = join(fresh, bundleDirectory, path);
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      writeFileSync(file, cargo.read(path), { flag: "wx", mode: 0o600 });
    }
    putInPlace(fresh, target);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  // Another process may have put its own there at the same time.
  if (!isIntact(target, files, uid)) throw new Error(`${target} changes while it is unpacked`);
  return target;
}

/** Renames a directory to its place. What is there is not intact; it goes away. */
function putInPlace(fresh: string, target: string): void {
  const old = `${fresh}.old`;
  try {
    renameSync(target, old);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  try {
    renameSync(fresh, target);
  } catch (error) {
    if (codeOf(error) !== "ENOTEMPTY" && codeOf(error) !== "EEXIST") throw error;
  } finally {
    rmSync(old, { recursive: true, force: true });
  }
}

function isIntact(directory: string, files: readonly PackedFile[], uid: number): boolean {
  try {
    if (!isPrivate(lstatSync(directory), uid)) return false;
    return files.every((file) => hasContent(join(directory, bundleDirectory, file.path), file));
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR" || codeOf(error) === "ELOOP") return false;
    throw error;
  }
}

function hasContent(path: string, { size, sha256 }: PackedFile): boolean {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const stats = fstatSync(fd);
    return stats.isFile() && stats.size === size && hash("sha256", readFileSync(fd)) === sha256;
  } finally {
    closeSync(fd);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
