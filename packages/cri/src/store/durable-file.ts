/** Files that are there whole or not at all. */
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Writes a file durably: a crash leaves the old one or the new one. */
export async function writeFileDurably(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await using file = await open(temporary, "w", mode);
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rename(temporary, path);
  await using directory = await open(dirname(path), "r");
  await directory.sync();
}
