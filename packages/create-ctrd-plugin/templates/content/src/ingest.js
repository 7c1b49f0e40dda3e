/**
 * An upload under way on disk: `ingest/<hash of its ref>/` with `about.json` and, growing, `data`.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import { timestampFromMillis } from "@ctrd/core/records";

/**
 * @import { FileHandle } from "node:fs/promises"
 * @import { IngestStatus } from "@ctrd/core/content"
 *
 * @typedef {object} Ingest
 * @property {string} directory
 * @property {FileHandle} data
 * @property {string} ref
 * @property {bigint} total
 * @property {number} startedMs
 */

/**
 * @param {string} root
 * @param {string} ref
 */
export function ingestDirectory(root, ref) {
  return join(root, "ingest", createHash("sha256").update(ref).digest("hex"));
}

/**
 * Opens the ingest of `ref`, which is made when there is none. One of another total is another upload: it starts
 * afresh.
 *
 * @param {string} root
 * @param {string} ref
 * @param {bigint} total
 * @returns {Promise<Ingest>}
 */
export async function openIngest(root, ref, total) {
  const directory = ingestDirectory(root, ref);
  let known = await readAbout(directory);
  if (known !== undefined && total !== 0n && known.total !== total) {
    await rm(directory, { recursive: true, force: true });
    known = undefined;
  }
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const about = known ?? { ref, total, startedMs: Date.now() };
  const data = await open(join(directory, "data"), "a+", 0o600);
  if (known === undefined) {
    const written = join(directory, "about.new");
    await writeFile(written, JSON.stringify({ ...about, total: String(total) }), { mode: 0o600 });
    await rename(written, join(directory, "about.json"));
  }
  return { directory, data, ...about };
}

/**
 * The state of an ingest; undefined when there is none, or one that is only being made.
 *
 * @param {string} directory
 * @returns {Promise<IngestStatus | undefined>}
 */
export async function readStatus(directory) {
  const about = await readAbout(directory);
  if (about === undefined) return undefined;
  try {
    const { size, mtimeMs } = await stat(join(directory, "data"));
    return {
      ref: about.ref,
      offset: BigInt(size),
      total: about.total,
      expected: "",
      startedAt: timestampFromMillis(about.startedMs),
      updatedAt: timestampFromMillis(Math.max(mtimeMs, about.startedMs)),
    };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** @param {string} directory */
async function readAbout(directory) {
  try {
    const { ref, total, startedMs } = JSON.parse(await readFile(join(directory, "about.json"), "utf8"));
    return { ref: String(ref), total: BigInt(total), startedMs: Number(startedMs) };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
