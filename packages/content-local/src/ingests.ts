/**
 * Ingest directories: what a partial upload looks like on disk.
 *
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { IngestStatus } from "@ctrd/core/content";
import { errnoOf } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Timestamp } from "@ctrd/core/records";
import { now } from "@ctrd/core/records";
import type { Layout } from "./layout.ts";
import { formatTimestamp, parseTimestamp } from "./timestamps.ts";

/** An ingest that is open for writing. */
export interface OpenIngest {
  directory: string;
  data: string;
  file: FileHandle;
  /** As found on disk. */
  status: IngestStatus;
}

const batchSize = 64;

/** Opens the ingest of `ref`, resuming the one on disk when its ref agrees and its total does not contradict. */
export async function openIngest(layout: Layout, ref: string, total: bigint): Promise<OpenIngest> {
  const directory = layout.ingest(ref);
  const isNew = await makeDirectory(directory);
  FAILPOINT: if (failpoints.on) await failpoints.at("content.ingest");
  if (isNew) return createIngest(directory, ref, total);
  const found = await readIngest(directory);
  const contradicts = found !== undefined && total > 0n && found.total > 0n && found.total !== total;
  if (found === undefined || found.ref !== ref || contradicts) {
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { mode: 0o700 });
    return createIngest(directory, ref, total);
  }
  if (total > 0n && found.total === 0n) await writeFile(join(directory, "total"), String(total), { mode: 0o600 });
  const data = join(directory, "data");
  const file = await open(data, "r+");
  return { directory, data, file, status: { ...found, total: total > 0n ? total : found.total } };
}

async function createIngest(directory: string, ref: string, total: bigint): Promise<OpenIngest> {
  const startedAt = now();
  const time = formatTimestamp(startedAt);
  const data = join(directory, "data");
  const file = await open(data, "wx+", 0o600);
  try {
    const write = (name: string, text: string): Promise<void> =>
      writeFile(join(directory, name), text, { mode: 0o600 });
    const written = await Promise.allSettled([
      write("ref", ref),
      write("startedat", time),
      write("updatedat", time),
      total > 0n ? write("total", String(total)) : undefined,
    ]);
    // All have ended: none puts a file into the directory that a failure has removed.
    for (const each of written) if (each.status === "rejected") throw each.reason;
  } catch (error) {
    // An ingest without its ref could neither be resumed nor listed.
    await file.close();
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
  const status = { ref, offset: 0n, total, expected: "", startedAt, updatedAt: startedAt };
  return { directory, data, file, status };
}

async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** Records when the ingest changed last. An ingest that was aborted meanwhile has nothing to record. */
export async function writeUpdatedAt(directory: string, time: Timestamp): Promise<void> {
  try {
    await writeFile(join(directory, "updatedat"), formatTimestamp(time), { mode: 0o600 });
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** The ingest in `directory`; undefined when there is none, or only what a crash left of one. */
export async function readIngest(directory: string): Promise<IngestStatus | undefined> {
  const read = (name: string): Promise<string | undefined> => textOf(join(directory, name));
  const [ref, startedAt, updatedAt, total, data] = await Promise.all([
    read("ref"),
    read("startedat"),
    read("updatedat"),
    read("total"),
    sizeOf(join(directory, "data")),
  ]);
  if (ref === undefined || data === undefined) return undefined;
  return {
    ref,
    offset: data.size,
    total: total !== undefined && /^\d{1,18}$/.test(total) ? BigInt(total) : 0n,
    expected: "",
    startedAt: parseTimestamp(startedAt ?? "") ?? data.changed,
    updatedAt: parseTimestamp(updatedAt ?? "") ?? data.changed,
  };
}

/** Every ingest on disk. */
export async function* listIngests(layout: Layout): AsyncGenerator<IngestStatus, void, undefined> {
  const names = await readdir(layout.ingests);
  for (let at = 0; at < names.length; at += batchSize) {
    const batch = names.slice(at, at + batchSize).map((name) => readIngest(join(layout.ingests, name)));
    for (const status of await Promise.all(batch)) {
      if (status !== undefined) yield status;
    }
  }
}

/** Removes ingests that a crash left half made or half removed: no List shows them, so nobody else would. */
export async function removeBrokenIngests(layout: Layout): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(layout.ingests)) {
    const directory = join(layout.ingests, name);
    const status = await readIngest(directory);
    if (status !== undefined && layout.ingest(status.ref) === directory) continue;
    await rm(directory, { recursive: true, force: true });
    removed.push(name);
  }
  return removed;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function sizeOf(path: string): Promise<{ size: bigint; changed: Timestamp } | undefined> {
  try {
    const { size, mtimeNs } = await stat(path, { bigint: true });
    return { size, changed: { seconds: mtimeNs / 1_000_000_000n, nanos: Number(mtimeNs % 1_000_000_000n) } };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** The file, or the directory it would be in, is not there. */
function isAbsent(error: unknown): boolean {
  return errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR";
}
