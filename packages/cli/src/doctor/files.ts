/**
 * Looking at files that others may remove at any time.
 *
 * @module
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { errnoOf, isKind } from "@ctrd/core/errors";

/** Files and directories younger than this may be in the making, in milliseconds. */
export const youngMs = 60_000;

/** Names in a directory; none when it is not there. */
export async function names(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** Bytes of a file that was last changed longer ago than `ageMs`; undefined when it is younger, or gone. */
export async function oldSize(path: string, ageMs: number): Promise<number | undefined> {
  try {
    const { size, mtimeMs } = await stat(path);
    return Date.now() - mtimeMs > ageMs ? size : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Whether what was looked at is gone; a cgroup that is removed while it is read answers ENODEV. */
function isGone(error: unknown): boolean {
  return ["ENOENT", "ESRCH", "ENOTDIR", "ENODEV"].includes(errnoOf(error) ?? "");
}

/** The text of a file; undefined when it is not there. */
export async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** False when the file is not there. */
export async function unlessMissing(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** Whatever was to be removed may be gone already. */
export async function unlessGone(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
  }
}
