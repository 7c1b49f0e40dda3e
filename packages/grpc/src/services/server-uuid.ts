import { errnoOf } from "@ctrd/core/errors";
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";

const pattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * The id that a daemon keeps for as long as its root exists: the file `uuid` in `directory`, made at the first call.
 */
export async function readServerUuid(directory: string): Promise<string> {
  const path = join(directory, "uuid");
  try {
    const uuid = (await readFile(path, "utf8")).trim();
    if (pattern.test(uuid)) return uuid;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
  const uuid = randomUUID();
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeDurably(directory, path, uuid);
  return uuid;
}

async function writeDurably(directory: string, path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const parent = await open(directory, "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
