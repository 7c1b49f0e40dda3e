/**
 * Makes renames durable.
 *
 * @module
 */
import { open } from "node:fs/promises";

/** Syncs the directory `path`. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
